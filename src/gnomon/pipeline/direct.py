"""The stage that measures whoever scores answers by the constitution, before any score of theirs is paid."""

from pathlib import Path
from typing import TYPE_CHECKING

from gnomon.config import ConstitutionSettings, Recipe
from gnomon.constitution.direct import DirectScorer
from gnomon.constitution.gate import Labels
from gnomon.constitution.labeller import Who
from gnomon.constitution.principles import load_constitution
from gnomon.errors import ConfigError, ModelError
from gnomon.judges.direct import Grade, contrast_grade, local_rates, rating_grade, served_rates
from gnomon.judges.reward_model import RewardJudge
from gnomon.models.load import load
from gnomon.models.reference import is_served
from gnomon.models.reward_model import load_scorer
from gnomon.pipeline.feedback import gate_comparisons, given_pairs, labelled_sample, may_label, passed
from gnomon.pipeline.labellers import DIRECT, DIRECT_JUDGE, reads_principles
from gnomon.pipeline.roles import asked_once, name_of, settings_of, who
from gnomon.pipeline.rows import read_records
from gnomon.pipeline.scoring import MODEL
from gnomon.pipeline.stage import Artefact, Stage, StageContext
from gnomon.pipeline.stages import Start
from gnomon.records import Comparison
from gnomon.runs import write_json
from gnomon.settings.policy import CONSTITUTION, PolicySettings, RewardTerm

if TYPE_CHECKING:
    from gnomon.judges.choosing import LettersEngine

GATE = {"gate_accuracy", "gate_lower", "gate_flips", "gate_comparisons"}
"""The settings of the gate that are the constitution's own."""


def direct_stage(
    recipe: Recipe,
    settings: ConstitutionSettings,
    data: Artefact,
    start: Start,
    judge: Artefact | None = None,
) -> Stage:
    """How often whoever the roles name scores the better of two answers higher, on known answers and on the
    sample of the very pairs; or how often a `judge` does that was trained, on held-out comparisons.

    Measured as it is to pay: by the same method, every answer alone. ConfigError where the roles name nobody
    who reads principles, and there is no `judge`.
    """
    known_in = "reward.jsonl" if judge is None else "test.jsonl"
    read = data.only(known_in)
    constitution = load_constitution(recipe.data.constitution)
    files, roles = given_pairs(map(Path, settings.feedback.sample)), settings.roles
    sample = labelled_sample(files.pairs)
    told_apart = settings_of(reads_principles(roles.labeller)) if judge is None else None

    def run(context: StageContext) -> None:
        if judge is not None:
            name = str(Who("trained", name_of(Start.of(judge))))
            scorer: Labels = RewardJudge(load_scorer(judge.path / MODEL, dtype=recipe.model.dtype))
        else:
            ref, kept = roles.labeller, context.work / "labeller.jsonl"
            served = asked_once(ref, kept, roles) if ref and is_served(ref) else None
            scorer = direct_scorer(recipe, settings, start, served)
            name = str(scorer.who)
        known = gate_comparisons(read_records(read.file(known_in), Comparison), settings, recipe.seed)
        context.progress(0, 1, "measuring whoever scores")
        gate = passed(scorer, known, sample, settings)
        context.progress(1, 1, "measured")
        if not gate.passed or gate.sample is None:
            context.warn(f"scores of single answers, as a reward: {gate.message}")
        report = {"gate": gate.to_json(), "gate_held": not may_label(gate, settings), "labeller": name}
        write_json(context.folder / "report.json", report | {"mode": settings.direct.model_dump(mode="json")})

    chosen = {
        "constitution": constitution.digest,
        "direct": settings.direct.model_dump(mode="json"),
        "gate": settings.model_dump(mode="json", include=GATE) | {"gate": settings.feedback.gate},
        "roles": told_apart,
        "sample": files.digest,
        "seed": recipe.seed,
        "dtype": recipe.model.dtype,
        **start.settings,
    }
    inputs = {"data": read, **start.inputs} | ({"judge": judge} if judge else {})
    return Stage(DIRECT if judge is None else DIRECT_JUDGE, 1, chosen, inputs, run)


def direct_scorer(
    recipe: Recipe, settings: ConstitutionSettings, start: Start, served: "LettersEngine | None"
) -> DirectScorer:
    """Whoever labels, by the settings' method: on a server that is `served`, else a model that is loaded;
    null is the model at hand as it was at the `start`.

    ConfigError where the method needs what a server does not tell.
    """
    ref, how = settings.roles.labeller, settings.direct
    constitution = load_constitution(recipe.data.constitution)
    return DirectScorer(
        who(ref, start), _grade(recipe, ref or start.ref, how.method, served), constitution, how, recipe.seed
    )


def _grade(recipe: Recipe, ref: str, method: str, served: "LettersEngine | None") -> Grade:
    if served is None:
        lm = load(ref, dtype=recipe.model.dtype)
        return contrast_grade(lm) if method == "contrast" else rating_grade(local_rates(lm))
    if method == "contrast":
        raise ConfigError(
            f"{ref} tells no likelihoods of whole answers, which contrast compares; set "
            "constitution.direct.method to rating, or name a labeller to load"
        )
    return rating_grade(served_rates(served))


def without_constitution(settings: PolicySettings, *, model: bool) -> PolicySettings:
    """The settings where the constitution pays nothing, as its gate stayed shut: the other rewards do, or the
    reward model of the given comparisons, where there is that `model` and no other.

    ModelError where nothing is left that pays.
    """
    left = tuple(term for term in settings.rewards if term.source != CONSTITUTION)
    if not any(term.weighs for term in left):
        if not model:
            raise ModelError(
                "the gate of whoever scores by the constitution stayed shut, and nothing else pays: add "
                "another source to policy.rewards, leave `reward` in, or set "
                "constitution.feedback.when_shut to trained_judge"
            )
        left = (RewardTerm(source="model"), *left)
    return settings.model_copy(update={"rewards": left})
