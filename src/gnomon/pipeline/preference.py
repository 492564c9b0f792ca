"""The stage of preference optimisation: comparisons in, a policy out, with no reward model between them."""

from collections.abc import Sequence
from typing import Any

from gnomon.config import Recipe
from gnomon.evaluation.reward import reward_report
from gnomon.models.load import LanguageModel
from gnomon.models.lora import has_adapters
from gnomon.models.save import save_model
from gnomon.pipeline.card import model_card
from gnomon.pipeline.rows import read_records
from gnomon.pipeline.scoring import MODEL, refuse_unmeasured
from gnomon.pipeline.stage import Artefact, Stage, StageContext
from gnomon.pipeline.stages import Start, reference_of, seen, stage_settings, trainable, trained_on
from gnomon.records import Comparison
from gnomon.runs import write_json
from gnomon.settings.preference import PreferenceSettings
from gnomon.training.pairs import EncodedPair, encode_comparisons, usable_comparisons
from gnomon.training.preference import PreferenceOptimisation


def preference_stage(
    recipe: Recipe,
    settings: PreferenceSettings,
    data: Artefact,
    start: Start,
    roles: Sequence[str],
    extra: Artefact | None = None,
) -> Stage:
    """Optimise the start model on the comparisons of the roles, and on those of the `extra` artefact.

    The report has the accuracy of its implicit reward on held-out comparisons, as that of a reward model.
    """
    given = data.only(*(f"{role}.jsonl" for role in (*roles, "test")))

    def run(context: StageContext) -> None:
        test = read_records(given.file("test.jsonl"), Comparison)
        refuse_unmeasured(test)
        rows = [row for role in roles for row in read_records(given.file(f"{role}.jsonl"), Comparison)]
        if extra is not None:
            rows += read_records(extra.file("comparisons.jsonl"), Comparison)
        compared = settings.needs_reference
        lm = trainable(recipe, start, measured=compared)
        reference = reference_of(recipe, start) if compared and not has_adapters(lm.model) else None
        encoded = encode_comparisons(lm, rows, recipe.model.max_length)
        held_out = measurable(lm, test, recipe.model.max_length)
        objective = PreferenceOptimisation(lm, encoded, settings, recipe.seed, reference)
        result = trained_on(context, lm, objective, settings.optim)
        report = {
            **implicit_reward_report(objective, *held_out),
            "loss": settings.loss,
            "train_rows": len(encoded.pairs),
            "dropped": dict(encoded.dropped),
            "steps": result.steps,
        }
        write_json(context.folder / "report.json", report)
        save_model(lm, context.folder / MODEL, model_card(recipe, "preference", lm, report))

    inputs = {"data": given, **start.inputs} | ({"extra": extra} if extra else {})
    chosen = {"preference": seen(settings) | settings.own, "roles": list(roles)}
    return Stage("preference", 1, stage_settings(recipe, start, **chosen), inputs, run)


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
    objective: PreferenceOptimisation, comparisons: Sequence[Comparison], encoded: Sequence[EncodedPair]
) -> dict[str, Any]:
    """What a reward model's report says, of the rewards that a policy implies."""
    return reward_report(comparisons, *objective.rewards(encoded))
