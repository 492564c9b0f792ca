"""The stage of preference optimisation: comparisons in, or verdicts, and a policy out, with no reward model
between them."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from gnomon.config import Recipe
from gnomon.errors import DataError
from gnomon.evaluation.ratings import told_apart
from gnomon.evaluation.reward import reward_report
from gnomon.models.load import LanguageModel
from gnomon.models.lora import has_adapters
from gnomon.models.save import save_model
from gnomon.pipeline.card import model_card
from gnomon.pipeline.rows import read_records
from gnomon.pipeline.scoring import MODEL, refuse_unmeasured
from gnomon.pipeline.stage import Artefact, Stage, StageContext
from gnomon.pipeline.stages import Start, reference_of, reseeded, seen, stage_settings, trainable, trained_on
from gnomon.records import Comparison, Rating
from gnomon.runs import write_json
from gnomon.settings.preference import PreferenceSettings
from gnomon.training.judged import Judged, usable_ratings
from gnomon.training.kto import KahnemanTverskyOptimisation
from gnomon.training.offline import Offline, offline
from gnomon.training.pairs import EncodedPair, usable_comparisons

RATED = ("ratings", "test_ratings")
"""Files of verdicts, which `kto` alone reads."""

BALANCED = (0.8, 1.5)
"""Times that desirable answers may weigh what undesirable ones do, before it is warned of."""


def preference_stage(
    recipe: Recipe,
    settings: PreferenceSettings,
    data: Artefact,
    start: Start,
    roles: Sequence[str],
    extra: Artefact | None = None,
) -> Stage:
    """Optimise the start model on the comparisons of the roles, and on those of the `extra` artefact; `kto`
    on the ratings too.

    The report has the accuracy of its implicit reward on held-out comparisons, as that of a reward model, and
    how well it tells held-out ratings apart, of what there is.
    """
    recipe = reseeded(recipe, settings.seed)
    verdicts = settings.loss == "kto"
    given = data.only(*(f"{role}.jsonl" for role in (*roles, "test", *(RATED if verdicts else ()))))

    def run(context: StageContext) -> None:
        test = read_records(given.file("test.jsonl"), Comparison)
        rated, test_rated = (
            read_records(given.file(f"{name}.jsonl"), Rating) if verdicts else [] for name in RATED
        )
        if not test_rated:
            refuse_unmeasured(test)
        rows = [row for role in roles for row in read_records(given.file(f"{role}.jsonl"), Comparison)]
        if extra is not None:
            rows += read_records(extra.file("comparisons.jsonl"), Comparison)
        compared, longest = settings.needs_reference, recipe.model.max_length
        lm = trainable(recipe, start, measured=compared)
        reference = reference_of(recipe, start) if compared and not has_adapters(lm.model) else None
        encoded, singles = usable_comparisons(lm, rows, longest), usable_ratings(lm, rated, longest)
        dropped = dict(Counter(encoded.dropped) + Counter(singles.dropped))
        if not (encoded.pairs or singles.judged):
            raise DataError(f"nothing can be trained on ({dropped or 'there is nothing'}); check the data")
        held_out = None if all(row.is_tie for row in test) else measurable(lm, test, longest)
        objective = offline(lm, encoded.pairs, settings, recipe.seed, reference, singles.judged)
        if isinstance(objective, KahnemanTverskyOptimisation):
            _warn_of_imbalance(context, settings, objective.own.judged.values())
        result = trained_on(context, lm, objective, settings.optim)
        report = {
            **(implicit_reward_report(objective, *held_out) if held_out else {}),
            **(_of_ratings(objective, test_rated, longest) if test_rated else {}),
            "loss": settings.loss,
            "train_rows": len(encoded.pairs),
            **({"train_ratings": len(singles.judged)} if rated else {}),
            "dropped": dropped,
            "steps": result.steps,
        }
        write_json(context.folder / "report.json", report)
        save_model(lm, context.folder / MODEL, model_card(recipe, "preference", lm, report))

    inputs = {"data": given, **start.inputs} | ({"extra": extra} if extra else {})
    chosen = {"preference": seen(settings) | settings.own, "roles": list(roles)}
    return Stage("preference", 2 if verdicts else 1, stage_settings(recipe, start, **chosen), inputs, run)


def _warn_of_imbalance(
    context: StageContext, settings: PreferenceSettings, judged: Collection[Judged]
) -> None:
    """Warn where desirable and undesirable answers, each by its weight, are far from weighing alike."""
    own = settings.arguments
    good = own["desirable_weight"] * sum(one.weight * q for one in judged for q in one.desirable)
    bad = own["undesirable_weight"] * sum(one.weight * (1 - q) for one in judged for q in one.desirable)
    if not bad or not BALANCED[0] <= good / bad <= BALANCED[1]:
        context.warn(
            f"desirable answers weigh {good:.4g} in all and undesirable ones {bad:.4g}, where 1 to 4/3 times "
            "as much is advised (arXiv:2402.01306): set preference.desirable_weight or undesirable_weight"
        )


def _of_ratings(objective: Offline, ratings: Sequence[Rating], max_length: int) -> dict[str, Any]:
    """How well implicit rewards tell held-out ratings apart; null where these cannot say."""
    assert isinstance(objective, KahnemanTverskyOptimisation)
    usable = usable_ratings(objective.lm, ratings, max_length)
    ids = {one.id for one in usable.judged}
    rewards = objective.rewards_of(usable.judged) if ids else []
    told = told_apart([row for row in ratings if row.id in ids], rewards)
    return {"told_apart": told.to_json() if told else None}


def measurable(
    lm: LanguageModel, comparisons: Sequence[Comparison], max_length: int
) -> tuple[list[Comparison], tuple[EncodedPair, ...]]:
    """The comparisons that could be trained on as well, and the same encoded; DataError where none of them
    says which answer is better."""
    encoded = usable_comparisons(lm, comparisons, max_length)
    ids = {pair.id for pair in encoded.pairs}
    rows = [row for row in comparisons if row.id in ids]
    refuse_unmeasured(rows, encoded.dropped)
    return rows, encoded.pairs


def implicit_reward_report(
    objective: Offline, comparisons: Sequence[Comparison], encoded: Sequence[EncodedPair]
) -> dict[str, Any]:
    """What a reward model's report says, of the rewards that a policy implies."""
    return reward_report(comparisons, *objective.rewards(encoded))
