"""Who labels a road's pairs, opened; and whose labels are learnt from in the end."""

from collections.abc import Mapping

from gnomon.config import ConstitutionSettings, Recipe
from gnomon.constitution.judged import JudgeLabeller, Truth
from gnomon.constitution.labeller import Labeller, Labelling, Who
from gnomon.constitution.principles import Constitution
from gnomon.errors import ConfigError
from gnomon.judges.reward_model import RewardJudge
from gnomon.models.reward_model import load_scorer
from gnomon.pipeline.roles import Cast, kept_rows, name_of, who
from gnomon.pipeline.scoring import MODEL
from gnomon.pipeline.stage import Artefact
from gnomon.pipeline.stages import Start
from gnomon.settings.feedback import TRAINED_JUDGE, TRUTH

FEEDBACK, FEEDBACK_JUDGE = "feedback", "feedback_judge"
"""The stages of labels: by whom the roles name, and by the judge that was trained."""

DIRECT, DIRECT_JUDGE = "direct", "direct_judge"
"""The stages that measure these as who scores single answers, where a policy is paid by the constitution."""

UNTRAINED = f"roles.labeller is {TRAINED_JUDGE}, which a road trains before it labels (gnomon run); here name"


def labeller_of(
    cast: Cast,
    recipe: Recipe,
    settings: ConstitutionSettings,
    constitution: Constitution,
    judge: Artefact | None,
) -> Labelling:
    """The trained judge where there is one, else whom the roles name.

    ConfigError where they name the trained judge and there is none.
    """
    ref, noise, how = settings.roles.labeller, settings.roles.noise, settings.feedback
    if judge is not None:
        scorer = load_scorer(judge.path / MODEL, dtype=recipe.model.dtype)
        told = Who("trained", name_of(Start.of(judge)))
        return JudgeLabeller(told, RewardJudge(scorer), constitution, how, recipe.seed)
    if noise is not None:
        told = Who("truth", f"with noise {noise:g}")
        return JudgeLabeller(told, Truth(noise, recipe.seed), constitution, how, recipe.seed)
    if ref == TRAINED_JUDGE:
        raise ConfigError(f"{UNTRAINED} a model, an endpoint or truth:P")
    asked = kept_rows(cast.folder / "asked.jsonl")
    return Labeller(who(ref, cast.own), cast.backend(ref), constitution, how, asked, recipe.seed)


def reads_principles(ref: str | None) -> str | None:
    """The labeller itself, a model by reference or the one at hand; ConfigError for what is no model."""
    if ref == TRAINED_JUDGE:
        raise ConfigError(f"{UNTRAINED} a model or an endpoint")
    if not is_model(ref):
        raise ConfigError(f"roles.labeller is {ref}, which reads no principle; name a model or an endpoint")
    return ref


def is_model(ref: str | None) -> bool:
    """Whether a labeller is a model by reference, the one at hand included."""
    return ref is None or not (ref == TRAINED_JUDGE or ref.startswith(TRUTH))


def wants_feedback(recipe: Recipe) -> bool:
    """Whether somebody labels pairs who is there before the road."""
    return _by_reference(recipe) and _learns_labels(recipe)


def wants_direct(recipe: Recipe) -> bool:
    """Whether such a one scores the policy's samples."""
    return _by_reference(recipe) and recipe.pays_directly


def wants_judge(recipe: Recipe) -> bool:
    """Whether a judge may have to be trained, to label or to score."""
    settings = recipe.constitution
    return settings is not None and (
        settings.roles.labeller == TRAINED_JUDGE or settings.feedback.when_shut == "trained_judge"
    )


def wants_feedback_judge(recipe: Recipe) -> bool:
    """Whether it may have to label."""
    return wants_judge(recipe) and _learns_labels(recipe)


def wants_direct_judge(recipe: Recipe) -> bool:
    """Whether it may have to score the policy's samples."""
    return wants_judge(recipe) and recipe.pays_directly


def _by_reference(recipe: Recipe) -> bool:
    return recipe.constitution is not None and recipe.constitution.roles.labeller != TRAINED_JUDGE


def _learns_labels(recipe: Recipe) -> bool:
    """Pairs are left alone where samples are scored without them, and nothing else learns from labels."""
    return not recipe.pays_directly or recipe.reward is not None or recipe.preference is not None


def deciding(made: Mapping[str, Artefact]) -> Artefact | None:
    """The stage whose labels, if it gave any, are learnt from; None where nothing labels."""
    return made.get(FEEDBACK_JUDGE) or made.get(FEEDBACK)
