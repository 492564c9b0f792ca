"""The stage of policy optimisation: its rewards, its critic, and what it says of itself."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from gnomon.config import Recipe
from gnomon.errors import ConfigError, DataError
from gnomon.models.critic import Critic, ValueModel
from gnomon.models.load import LanguageModel
from gnomon.models.lora import has_adapters, interpolate
from gnomon.models.reward_model import Scorer
from gnomon.models.save import save_model
from gnomon.pipeline.card import model_card
from gnomon.pipeline.constitutional import mixed_prompts
from gnomon.pipeline.guards import best_by, evaluation_of, set_aside, told_alarms, warning
from gnomon.pipeline.paying import Payers, Paying, digests, frozen_scorer
from gnomon.pipeline.rows import read_records
from gnomon.pipeline.scoring import MODEL
from gnomon.pipeline.stage import Artefact, Stage, StageContext
from gnomon.pipeline.stages import (
    Start,
    reference_of,
    reseeded,
    seen,
    stage_settings,
    trainable,
    trained_on,
)
from gnomon.records import Demonstration, Prompt
from gnomon.rewards.combine import ModelReward
from gnomon.rollouts.local import LocalEngine
from gnomon.runs import read_metrics, write_json
from gnomon.settings.base import OptimSettings
from gnomon.settings.policy import PolicySettings
from gnomon.training.policy import PolicyOptimisation
from gnomon.training.samples import PolicyPrompts
from gnomon.training.sft import InstructionTuning, encode_demonstrations

AGREES = 0.3
"""Agreement below which a policy's gain is taken to be its reward model's own: none carried over at 0.2."""


def policy_stage(
    recipe: Recipe,
    settings: PolicySettings,
    data: Artefact,
    start: Start,
    payers: Payers,
    red_team: float = 0.0,
) -> Stage:
    """Optimise the start model against its rewards, staying near it, watched by the second reward model, or
    by the one that the guards name.

    `red_team` is the share of prompts that ask for harm; at 0 the policy's own prompts are asked alone.
    """
    recipe = reseeded(recipe, settings.seed)
    _check(recipe, settings, payers)
    if settings.guards.second is not None:
        payers = replace(payers, second=Start(settings.guards.second))
    reward, second = payers.reward, payers.second
    asked = ["policy.jsonl", *(["red_team.jsonl"] if red_team else [])]
    given = data.only(*asked, *(["sft.jsonl"] if settings.ptx_coef else []))

    def run(context: StageContext) -> None:
        prompts, aside = read_records(given.file("policy.jsonl"), Prompt), list[Prompt]()
        if red_team:
            harmful = read_records(given.file("red_team.jsonl"), Prompt)
            prompts = mixed_prompts(prompts, harmful, red_team, recipe.seed)
        if settings.guards.every is not None:
            prompts, aside = set_aside(prompts, settings.guards.prompts, recipe.seed)
        best = best_by(settings.guards, aside, watched=second is not None)
        lm = trainable(recipe, start, measured=True)
        reference = None if has_adapters(lm.model) else reference_of(recipe, start)
        scorer = None if reward is None else frozen_scorer(recipe, reward.folder, lm)
        longest = recipe.model.max_length - settings.max_new_tokens
        encoded, fitting = policy_prompts(lm, prompts, longest, context)
        points, others = policy_prompts(lm, aside, longest, context) if aside else (None, {})
        paying = Paying(recipe, settings, start, payers, lm, fitting | others, context.work)

        objective = PolicyOptimisation(
            lm,
            LocalEngine(lm),  # each process asks its own: the objective spreads the prompts
            paying.terms(scorer),
            encoded,
            settings,
            seed=recipe.seed,
            reference=reference,
        )
        if second is not None:
            objective.watch = ModelReward(frozen_scorer(recipe, second.folder, lm))
        if points is not None:
            objective.set_aside(points)
        if settings.ptx_coef:
            objective.ptx = _ptx(recipe, settings, lm, read_records(given.file("sft.jsonl"), Demonstration))
        critic = _critic(recipe, settings, start, reward, scorer)
        _optimise(context, recipe, settings, objective, critic, best)

    chosen = stage_settings(
        recipe, start, policy=seen(settings), rewards=digests(settings), red_team=red_team
    )
    chosen = dict(chosen) | ({"second": second.digest} if second and not second.artefact else {})
    return Stage("policy", 5, chosen, {"data": given, **payers.inputs, **start.inputs}, run)


def _check(recipe: Recipe, settings: PolicySettings, payers: Payers) -> None:
    """ConfigError where the settings ask for what there is not."""
    if payers.reward is None and settings.needs_reward_model:
        raise ConfigError(
            "policy.rewards names the reward model, or the critic begins as it, and there is none: give "
            "--reward DIR, made by gnomon train reward"
        )
    if settings.algorithm == "ppo" and recipe.model.sharding == "layers":
        raise ConfigError(
            "policy.algorithm=ppo trains a critic beside the policy, and the layers of two models are not "
            "shared out together; set model.sharding=none"
        )


def _optimise(
    context: StageContext,
    recipe: Recipe,
    settings: PolicySettings,
    objective: PolicyOptimisation,
    critic: Critic | None,
    best: str | None,
) -> None:
    """Train, and write down the model, the best by the figure `best` where that is named, and what it did."""
    lm, objective.critic = objective.lm, critic
    if objective.lookout is not None:
        objective.lookout.told = lambda text: context.warn(warning(text))
    evaluation = evaluation_of(objective, best)
    result = trained_on(context, lm, objective, settings.optim, objective.module, evaluation, objective.apart)
    interpolate(lm, objective.reference, settings.liti)
    report = {
        "steps": result.steps,
        "stopped_for": result.stopped_for,
        "kept": result.kept,
        "alarms": told_alarms(context, objective),
        "reward/agreement": followed(context),
        "kl/reference": objective.distance(result.steps // settings.updates),
        "kl_budget": settings.kl_budget,
    }
    write_json(context.folder / "report.json", report)
    save_model(lm, context.folder / MODEL, model_card(recipe, "policy", lm, report))


def _ptx(
    recipe: Recipe, settings: PolicySettings, lm: LanguageModel, rows: list[Demonstration]
) -> InstructionTuning:
    encoded = encode_demonstrations(lm, rows, recipe.model.max_length)
    mixed = OptimSettings(batch_size=settings.ptx_rows, micro_tokens=settings.optim.micro_tokens)
    return InstructionTuning(lm, encoded, mixed, recipe.seed)


def _critic(
    recipe: Recipe, settings: PolicySettings, start: Start, reward: Start | None, scorer: Scorer | None
) -> Critic | None:
    """The values of ppo, one for the score and one for each threshold: a model beside the policy."""
    if settings.algorithm != "ppo":
        return None
    if settings.critic.start == "policy":
        lm = trainable(recipe, start)
    else:
        assert reward is not None
        lm = trainable(recipe, reward)
    model = ValueModel(lm, 1 + len(settings.limits))
    if settings.critic.start == "reward" and scorer is not None:
        model.take(scorer.model)
    return Critic(lm, model)


def followed(context: StageContext) -> float | None:
    """Agreement of both reward models on the samples, the mean of all steps; little of it is warned of."""
    rows = read_metrics(context.metrics.path)
    logged = [row["reward/agreement"] for row in rows if "reward/agreement" in row]
    if not logged:
        return None
    agreement = fmean(logged)
    if agreement < AGREES:
        context.warn(
            f"on answers to one prompt both reward models agree by {agreement:.2f} only (1 is always, 0 by "
            "chance): what the policy gained is mostly the first one's own; train them on more comparisons"
        )
    return agreement


def policy_prompts(
    lm: LanguageModel, rows: Sequence[Prompt], longest: int, context: StageContext
) -> tuple[PolicyPrompts, dict[tuple[int, ...], Prompt]]:
    """Encoded prompts, and each by its ids; those that leave no room for a response are left out, and said
    so. DataError where none does, or where one prompt has different facts."""
    encoded = [(row, tuple(lm.encode_prompt(row.conversation))) for row in rows]
    fitting = [(row, ids) for row, ids in encoded if len(ids) <= longest]
    if not fitting:
        raise DataError(
            f"none of {len(encoded)} policy prompts leaves room for a response within {longest} tokens; "
            "raise model.max_length, lower policy.max_new_tokens, or check data.prompts"
        )
    if len(fitting) < len(encoded):
        context.warn(
            f"{len(encoded) - len(fitting)} prompts are longer than {longest} tokens and were left out"
        )
    prompts = PolicyPrompts(
        tuple(row.id for row, _ in fitting),
        tuple(ids for _, ids in fitting),
        {ids: row.checks for row, ids in fitting if row.checks},
    )
    return prompts, _by_ids(fitting)


def _by_ids(encoded: Sequence[tuple[Prompt, tuple[int, ...]]]) -> dict[tuple[int, ...], Prompt]:
    found: dict[tuple[int, ...], Prompt] = {}
    for row, ids in encoded:
        other = found.get(ids, row)
        if other.facts != row.facts:
            raise DataError(
                f"the prompts {other.id} and {row.id} are the same and have different facts, and no reward "
                "could tell which are meant; leave one out of data.prompts, or give both the same facts"
            )
        found[ids] = row
    return found
