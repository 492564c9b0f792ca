"""What a recipe will take before it starts: its own rows counted, its own model timed on this machine."""

import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gnomon.config import ConstitutionSettings, Recipe, RewardSettings
from gnomon.data.sources import Data
from gnomon.models.branches import groups_of, shares
from gnomon.models.load import LanguageModel
from gnomon.models.lora import load_trainable
from gnomon.pipeline.labellers import (
    DIRECT,
    DIRECT_JUDGE,
    FEEDBACK,
    FEEDBACK_JUDGE,
    wants_direct,
    wants_feedback,
    wants_feedback_judge,
    wants_judge,
)
from gnomon.pipeline.preference import measurable
from gnomon.pipeline.probe import Rates, measure
from gnomon.pipeline.project import read_rows
from gnomon.pipeline.scoring import refuse_unmeasured
from gnomon.pipeline.snapshots import SNAPSHOT, snapshot_suites
from gnomon.pipeline.suites import suites
from gnomon.records import Comparison, EncodedRow, Prompt
from gnomon.settings.policy import PolicySettings
from gnomon.settings.preference import PreferenceSettings
from gnomon.training.judged import usable_ratings
from gnomon.training.pairs import EncodedPair, encode_comparisons, usable_comparisons
from gnomon.training.sft import encode_demonstrations

CRITIQUE_TOKENS = 330
"""Tokens of the examples that go before each critique or revision request."""

HEAP = 1.3
"""How much more a stage's heap holds than that of a short probe: batches of many shapes leave holes.

Measured on the demo: 0.84 to 1.44 over its stages.
"""

KEPT = 0.25
"""The share of revisions that hygiene keeps, about: 12 to 20 of 48 on the demo."""

CHOICE_TOKENS = 60
"""Tokens a multiple-choice question has beside the prompt and both answers."""

CHARACTERS = 4.0
"""A token of English text, about."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One stage's expected cost."""

    stage: str
    seconds: float
    tokens: int
    memory_gib: float
    disk_gib: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Every stage's cost; memory is a peak, the rest adds up."""

    stages: tuple[Cost, ...]

    @property
    def seconds(self) -> float:
        """Seconds of the whole road."""
        return sum(cost.seconds for cost in self.stages)

    @property
    def tokens(self) -> int:
        """Tokens trained on, sampled or read."""
        return sum(cost.tokens for cost in self.stages)

    @property
    def memory_gib(self) -> float:
        """The most memory any stage holds."""
        return max(cost.memory_gib for cost in self.stages)

    @property
    def disk_gib(self) -> float:
        """Disk the run folder takes in the end."""
        return sum(cost.disk_gib for cost in self.stages)

    def to_json(self) -> dict[str, Any]:
        """Stages and totals as plain JSON values."""
        totals = {
            "seconds": self.seconds,
            "tokens": self.tokens,
            "memory_gib": self.memory_gib,
            "disk_gib": self.disk_gib,
        }
        return {"stages": [asdict(cost) for cost in self.stages], "total": totals}


@dataclass(frozen=True)
class Counted:
    """A recipe's rows in tokens: labels are those trained on; a pair counts with both its answers, and with
    its prompt once where the model `shares` it."""

    demonstrations: int
    sft_tokens: int
    sft_labels: int
    reward: int
    reward_labels: int
    ratings: int
    rating_labels: int
    second: int
    test: int
    policy: tuple[int, ...]
    red_team: tuple[int, ...]
    evaluation: tuple[int, ...]
    shares: bool

    @property
    def response(self) -> float:
        """The mean length of a good answer."""
        return self.sft_labels / max(1, self.demonstrations)


def plan(recipe: Recipe) -> Plan:
    """Time, tokens, memory and disk of each stage, from the recipe's rows and half a minute of probing.

    DataError, before that, where rows are such that the run would not go on.
    """
    data = read_rows(recipe.data, recipe.seed)
    started = time.monotonic()
    alone = recipe.model.model_copy(update={"sharding": "none"})  # one process is measured, on its device
    lm = load_trainable(recipe.model.ref, alone, recipe.seed)
    load = time.monotonic() - started
    sft = encode_demonstrations(lm, data.sft, recipe.model.max_length).rows
    if recipe.reward is not None:
        refuse_unmeasured(data.test)
    if recipe.preference is not None:
        measurable(lm, data.test, recipe.model.max_length)
    counted = count(lm, data, sft, recipe)
    return Plan(stage_costs(recipe, counted, measure(lm, recipe, sft, load)))


def stage_costs(recipe: Recipe, counted: Counted, rates: Rates) -> tuple[Cost, ...]:
    """What every stage costs that has a model to work with, in the order of the road."""
    costs = [_sft(recipe, counted, rates)]
    if recipe.constitution is not None:
        costs += _constitution(recipe, recipe.constitution, counted, rates)
        if wants_judge(recipe):
            costs += _judge(recipe, recipe.constitution, counted, rates)
    if recipe.preference is not None:
        costs.append(_preference(recipe, recipe.preference, counted, rates))
    if recipe.reward is not None:
        costs += _rewards(recipe.reward, counted, rates)
    if recipe.policy is not None and recipe.optimises:
        costs.append(_policy(recipe, recipe.policy, counted, rates))
    examined = [*_suites(recipe, counted, rates), *_snapshots(recipe, counted, rates)]
    return (*costs, *_answers(recipe, counted, rates), *examined)


def count(lm: LanguageModel, data: Data, sft: Sequence[EncodedRow], recipe: Recipe) -> Counted:
    """Tokens of every row the road reads, `sft` encoded already; those over `model.max_length` it leaves out,
    but for held-out comparisons, which reward models score whole.

    DataError where comparisons are learnt from and none can be.
    """
    max_length = recipe.model.max_length

    def encoded(rows: Sequence[Comparison], *, learnt: bool) -> Sequence[EncodedPair]:
        return (encode_comparisons if learnt and rows else usable_comparisons)(lm, rows, max_length).pairs

    def pairs(rows: Sequence[EncodedPair], longest: int = max_length) -> int:
        laid = (groups_of(lm, (pair.first.ids, pair.second.ids), longest) for pair in rows)
        return sum(group.length for groups in laid for group in groups)

    def prompts(rows: Sequence[Prompt]) -> tuple[int, ...]:
        return tuple(len(lm.encode_prompt(row.conversation)) for row in rows)

    scored, whole = recipe.reward is not None, sys.maxsize
    compares = recipe.preference is not None and not data.ratings
    reward = encoded(data.reward, learnt=scored or compares)
    rated = [row for one in usable_ratings(lm, data.ratings, max_length).judged for row in one.answers]
    return Counted(
        demonstrations=len(sft),
        sft_tokens=sum(len(row.ids) for row in sft),
        sft_labels=sum(sum(row.response_mask) for row in sft),
        reward=pairs(reward),
        reward_labels=sum(sum(row.response_mask) for pair in reward for row in (pair.first, pair.second)),
        ratings=sum(len(row.ids) for row in rated),
        rating_labels=sum(sum(row.response_mask) for row in rated),
        second=pairs(encoded(data.second, learnt=scored)),
        test=pairs(usable_comparisons(lm, data.test, whole).pairs, whole),
        policy=prompts(data.policy),
        red_team=prompts(data.red_team),
        evaluation=prompts(data.evaluation),
        shares=shares(lm.model),
    )


def _cost(
    stage: str, seconds: float, tokens: float, rates: Rates, *, held: int = 1, trains: bool = False
) -> Cost:
    """A stage that holds `held` models; one that trains leaves its weights, and its checkpoints go."""
    memory = HEAP * (rates.memory_gib + (held - 1) * rates.weights_gib)
    disk = rates.trained * 4 / 2**30 if trains else 0.0005
    return Cost(stage, seconds + held * rates.load, round(tokens), memory, disk)


def _sft(recipe: Recipe, counted: Counted, rates: Rates) -> Cost:
    optim = recipe.sft.optim
    tokens = optim.epochs * counted.sft_tokens
    return _cost("sft", optim.epochs * _epoch(counted, rates), tokens, rates, trains=True)


def _epoch(counted: Counted, rates: Rates) -> float:
    """Seconds of training once on all demonstrations."""
    return counted.sft_tokens * rates.train_token + counted.sft_labels * rates.train_label


def _rewards(settings: RewardSettings, counted: Counted, rates: Rates) -> list[Cost]:
    costs = []
    for name, rows in (("reward", counted.reward), ("reward_second", counted.second)):
        times = settings.bodies * (1 + max(0, settings.folds - 1))  # a fold's model meets the other folds
        tokens = times * settings.optim.epochs * rows
        test = settings.bodies * counted.test
        # scoring reads no vocabulary; a forward pass is about a third of a step
        seconds = (tokens + test / 3) * rates.train_token
        costs.append(_cost(name, seconds, tokens + test, rates, trains=True))
    return costs


def _preference(recipe: Recipe, settings: PreferenceSettings, counted: Counted, rates: Rates) -> Cost:
    epochs, rows, labels = settings.optim.epochs, counted.reward, counted.reward_labels
    if settings.loss == "kto":
        rows, labels = rows + counted.ratings, labels + counted.rating_labels
    seconds = epochs * (rows * rates.train_token + labels * rates.train_label)
    reads = 1 + settings.needs_reference  # models that read the held-out comparisons, once
    seconds += (min(1.0, epochs) * rows * (reads - 1) + counted.test * reads) * rates.forward_token
    if settings.loss == "kto":  # answers after other prompts as well: each step by the policy, once by both
        seconds += (epochs + min(1.0, epochs)) * rows * rates.forward_token
    held = 2 if settings.needs_reference and recipe.model.lora is None else 1
    tokens = epochs * rows + counted.test
    return _cost("preference", seconds, tokens, rates, held=held, trains=True)


def _policy(recipe: Recipe, settings: PolicySettings, counted: Counted, rates: Rates) -> Cost:
    rows, cap = settings.optim.batch_size, settings.max_new_tokens
    response = min(counted.response, cap)
    labels = rows * response
    prompts = rows // settings.samples if counted.shares else rows
    tokens = prompts * _mean(counted.policy) + labels
    # sampled, read by the reference, scored by both reward models; then learnt from
    sampled = rates.decode(rows, labels, cap) + tokens * (rates.forward_token + 2 / 3 * rates.train_token)
    if recipe.pays_directly and recipe.constitution is not None:  # read under two framings of each principle
        sampled += 2 * recipe.constitution.direct.ensemble * tokens * rates.train_token / 3
    learnt = settings.form.epochs * (tokens * rates.train_token + labels * rates.train_label)
    if settings.ptx_coef:
        learnt += settings.ptx_rows / max(1, counted.demonstrations) * _epoch(counted, rates)
    batches = settings.steps + 1.0
    if (
        every := settings.guards.every
    ):  # evaluation points are sampled and scored, and nothing is learnt there
        batches += (1 + math.ceil(settings.steps / every)) * settings.guards.prompts * settings.samples / rows
    seconds = batches * sampled + settings.steps * learnt
    return _cost("policy", seconds, settings.steps * tokens, rates, held=3, trains=True)


def _constitution(
    recipe: Recipe, settings: ConstitutionSettings, counted: Counted, rates: Rates
) -> list[Cost]:
    rows, cap = len(counted.red_team), settings.max_new_tokens
    response = min(counted.response, cap)
    asked = rows * (1 + 2 * settings.revisions)
    read = sum(counted.red_team) + 2 * settings.revisions * rows * CRITIQUE_TOKENS
    sampled = asked * response
    seconds = rates.decode(rows, response * rows, cap) * (1 + 2 * settings.revisions)
    revise = _cost("revise", seconds + read * rates.train_token / 3, read + sampled, rates)
    examples = settings.helpful + rows * settings.revisions * settings.repeats * KEPT
    share = settings.optim.epochs * examples / max(1, counted.demonstrations)
    asked_for = settings.feedback.ensemble * (1 + settings.feedback.reasoning)
    judged = 2 * asked_for * settings.gate_comparisons * (2 * response + CHOICE_TOKENS)
    tuned = share * counted.sft_tokens
    costs = [revise, _cost("constitutional", share * _epoch(counted, rates), tuned, rates, trains=True)]
    if wants_feedback(recipe):
        costs.append(_cost(FEEDBACK, judged * rates.train_token / 3, judged, rates))
    if wants_direct(recipe):
        costs.append(_direct(DIRECT, settings, response, rates))
    return costs


def _direct(stage: str, settings: ConstitutionSettings, response: float, rates: Rates) -> Cost:
    """Both answers of known comparisons, each under the framings of a few principles."""
    tokens = 4 * settings.direct.ensemble * settings.gate_comparisons * (response + CHOICE_TOKENS)
    return _cost(stage, tokens * rates.train_token / 3, tokens, rates)


def _judge(recipe: Recipe, settings: ConstitutionSettings, counted: Counted, rates: Rates) -> list[Cost]:
    """A reward model that labels: learnt from the given comparisons, asked about pairs that are sampled."""
    judge = _rewards(recipe.reward or RewardSettings(), counted, rates)[0]
    cap, rows = settings.max_new_tokens, 2 * settings.pairs * len(counted.red_team)
    labels = rows * min(counted.response, cap)
    read = 2 * settings.gate_comparisons * counted.response + labels + rows * _mean(counted.red_team)
    seconds = rates.decode(rows, labels, cap) + read * rates.train_token / 3
    costs = [replace(judge, stage="judge")]
    if recipe.pays_directly:
        costs.append(_direct(DIRECT_JUDGE, settings, counted.response, rates))
    if wants_feedback_judge(recipe):
        costs.append(_cost(FEEDBACK_JUDGE, seconds, read + labels, rates))
    return costs


def _snapshots(recipe: Recipe, counted: Counted, rates: Rates) -> list[Cost]:
    """Answers of each model to what asks for harm and what only looks so, and a judge of some of them."""
    if recipe.constitution is None or recipe.constitution.snapshots is None:
        return []
    rows = sum(len(suite.tasks) for suite in snapshot_suites(recipe.constitution.snapshots))
    cap, read = recipe.evaluation.max_new_tokens, rows * _mean(counted.red_team)
    costs = []
    for name in _models(recipe):
        length = float(cap) if name == "base" else min(counted.response, cap)
        tokens = read + rows * length
        seconds = rates.decode(rows, rows * length, cap) + tokens * rates.train_token / 3
        costs.append(_cost(f"{SNAPSHOT}{name}", seconds, tokens, rates))
    pairs = len(costs) * (rows + recipe.constitution.snapshots.judged)
    asked = 2 * pairs * (2 * counted.response + CHOICE_TOKENS) if recipe.constitution.snapshots.judge else 1
    return [*costs, _cost("snapshots", asked * rates.train_token / 3, asked, rates)]


def _models(recipe: Recipe) -> tuple[str, ...]:
    """The models that are measured, in the order of the road."""
    there = {
        "constitutional": recipe.constitution is not None,
        "preference": recipe.preference is not None,
        "policy": recipe.optimises,
    }
    return ("base", "sft", *(name for name, made in there.items() if made))


def _answers(recipe: Recipe, counted: Counted, rates: Rates) -> list[Cost]:
    rows, cap = len(counted.evaluation), recipe.evaluation.max_new_tokens
    read = sum(counted.evaluation)
    response = min(counted.response, cap)
    watched = recipe.reward is not None
    names = {"base": False, "sft": False}
    names |= {"preference": True} if recipe.preference else {}
    names |= {"policy": True} if recipe.optimises else {}
    names |= {"constitutional": True} if recipe.constitution else {}
    costs = []
    for name, measured in names.items():
        length = float(cap) if name == "base" else response  # a base model does not end its turn
        tokens = read + rows * length
        forward = tokens * rates.train_token / 3
        seconds = rates.decode(rows, rows * length, cap) + read * rates.train_token / 3
        seconds += forward * watched
        if measured:  # sequence KL: fresh samples, read by the model and by its reference
            few = min(rows, recipe.evaluation.kl_prompts)
            seconds += rates.decode(few, few * length, cap) + 2 * few / rows * tokens * rates.forward_token
        seconds += (watched + measured) * rates.load  # one after the other, never two at once
        costs.append(_cost(f"answers_{name}", seconds, tokens * (1 + measured), rates))
    return costs


def _suites(recipe: Recipe, counted: Counted, rates: Rates) -> list[Cost]:
    """Replies of every trained model; likelihoods are only read, and not told apart from these."""
    chosen = suites(recipe)
    if not chosen:
        return []
    tasks = [task for suite in chosen for task in suite.tasks]
    cap = recipe.evaluation.suite_tokens
    said = len(tasks) * min(counted.response, cap)
    read = sum(len(task.shown) for task in tasks) / CHARACTERS
    seconds = rates.decode(len(tasks), said, cap) + read * rates.train_token / 3
    names = ["sft", *(["preference"] if recipe.preference else []), *(["policy"] if recipe.optimises else [])]
    names += ["constitutional"] if recipe.constitution else []
    return [_cost(f"suites_{name}", seconds, read + said, rates) for name in names]


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / max(1, len(numbers))
