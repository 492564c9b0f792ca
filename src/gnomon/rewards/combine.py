"""What a sampled response is worth: a reward model's score, shaped, and the checks it passes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from gnomon.judges.verifiable import Check, run_checks
from gnomon.models.reward_model import Score, Scorer
from gnomon.rewards.rules import RULES
from gnomon.rewards.told import Telling, Told
from gnomon.rollouts.engine import Sample
from gnomon.settings.policy import CONSTITUTION, EnsembleSettings, PolicySettings, RewardTerm
from gnomon.stats.within import slope_within


class Reward(Protocol):
    """Scores samples; higher is better. Anything with this shape can be optimised."""

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """One number for each sample, of which one of many processes may have none."""
        ...


@runtime_checkable
class Drawing(Protocol):
    """A reward that draws what it judges by, anew for each batch."""

    def at(self, drawn: str) -> Reward:
        """The reward of a batch, by what tells it from others: the same for the same batch and seed."""
        ...


@dataclass(frozen=True)
class ModelReward:
    """The reward model's score on exactly the ids that were sampled; of an ensemble, what `settings` make of
    its members' scores, where less is better if it is a `cost`."""

    scorer: Scorer
    settings: EnsembleSettings = field(default_factory=EnsembleSettings)
    cost: bool = False

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """Score prompt and response together."""
        return [told.value for told in self.told(samples)]

    def told(self, samples: Sequence[Sample]) -> list[Told]:
        """Each score with the standard deviation of the members', None where there is but one."""
        rows = [[*sample.prompt_ids, *sample.response_ids] for sample in samples]
        return [
            Told(
                conservative(score, self.settings, cost=self.cost),
                score.uncertainty if len(score.members) > 1 else None,
            )
            for score in self.scorer.scores(rows)
        ]


def conservative(score: Score, settings: EnsembleSettings, *, cost: bool = False) -> float:
    """One number for the scores of an ensemble's members.

    `worst` and `mean_minus_variance` are WCO and UWO of arXiv:2310.02743, with `caution` as its lambda;
    `mean_minus_std` has the unit of the scores. Of one member all are its score. The worst of a `cost` is the
    highest, and what is taken off the mean elsewhere is added to it.
    """
    off = -settings.times if cost else settings.times
    match settings.combine:
        case "worst":
            return max(score.members) if cost else score.lowest
        case "mean_minus_std":
            return score.value - off * score.uncertainty
        case "mean_minus_variance":
            return score.value - off * score.uncertainty**2
    return score.value


@dataclass(frozen=True)
class Term:
    """One reward of several, with what a recipe says of it."""

    settings: RewardTerm
    reward: Reward

    def cost(self, value: float) -> float:
        """How far beyond its threshold a value is; below 0 where it keeps to it."""
        limit = self.settings
        if limit.at_most is not None:
            return value - limit.at_most
        assert limit.at_least is not None
        return limit.at_least - value

    def at(self, drawn: str) -> "Term":
        """The same in a batch, where the reward draws what it judges by."""
        return replace(self, reward=self.reward.at(drawn)) if isinstance(self.reward, Drawing) else self

    def told(self, samples: Sequence[Sample]) -> list[Told]:
        """What it says of each sample, and all that it tells beside."""
        if isinstance(self.reward, Telling):
            return self.reward.told(samples)
        return [Told(value) for value in self.reward(samples)]


class Said(NamedTuple):
    """What each reward says of a sample. `spread` is the standard deviation of its score over the members of
    ensembles, several of which are taken to err apart; None where there is no ensemble."""

    told: tuple[Told, ...]
    spread: float | None = None

    @property
    def values(self) -> tuple[float, ...]:
        """The number that each reward gives."""
        return tuple(one.value for one in self.told)


@dataclass(frozen=True)
class Terms:
    """Rewards that are added up by their weights, or kept to their thresholds."""

    terms: tuple[Term, ...]

    @classmethod
    def of(cls, reward: "Reward | Terms") -> "Terms":
        """One reward, as the only one there is."""
        if isinstance(reward, Terms):
            return reward
        return cls((Term(RewardTerm(source="model"), reward),))

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called in metrics."""
        return tuple(term.settings.called for term in self.terms)

    @property
    def limits(self) -> tuple[str, ...]:
        """Those of them that have a threshold."""
        return tuple(term.settings.called for term in self.terms if term.settings.bounded)

    @property
    def told_apart(self) -> bool:
        """Whether one of them has to be seen by itself: it has a threshold, is a rule, or the
        constitution's."""
        alone = {*RULES, CONSTITUTION}
        return any(term.settings.bounded or term.settings.source in alone for term in self.terms)

    def at(self, drawn: str) -> "Terms":
        """The rewards of a batch, by what tells it from others."""
        return Terms(tuple(term.at(drawn) for term in self.terms))

    def __call__(self, samples: Sequence[Sample]) -> list[Said]:
        """Of each sample what each reward says."""
        columns = [term.told(samples) for term in self.terms]
        if not columns:
            return [Said(()) for _ in samples]
        return [self._said(row) for row in zip(*columns, strict=True)]

    def _said(self, row: Sequence[Told]) -> Said:
        parts = [
            term.settings.weighs * told.spread
            for term, told in zip(self.terms, row, strict=True)
            if told.spread is not None
        ]
        return Said(tuple(row), math.hypot(*parts) if parts else None)

    def score(self, values: Sequence[float]) -> float:
        """What a sample is paid for these values; nothing for those of weight 0, whatever they are."""
        weights = [term.settings.weighs for term in self.terms]
        return sum((weight * value for weight, value in zip(weights, values, strict=True) if weight), 0.0)

    def costs(self, values: Sequence[float]) -> tuple[float, ...]:
        """How far a sample is beyond each of the thresholds."""
        pairs = zip(self.terms, values, strict=True)
        return tuple(term.cost(value) for term, value in pairs if term.settings.bounded)


@dataclass(frozen=True)
class Verified:
    """The share of its prompt's checks that a sample passes; None where the prompt has none.

    `checks` are found by the ids of the prompt. A reward model made from a few hundred comparisons knows
    little of formats and facts; where a program can tell, it is asked.
    """

    checks: Mapping[tuple[int, ...], Sequence[Check]]

    def __call__(self, samples: Sequence[Sample]) -> list[float | None]:
        """One share for each sample."""
        known = [self.checks.get(sample.prompt_ids) for sample in samples]
        return [
            fmean(run_checks(sample.text, checks)) if checks else None
            for sample, checks in zip(samples, known, strict=True)
        ]


def shaped(scores: Sequence[float], samples: Sequence[Sample], settings: PolicySettings) -> list[float]:
    """Scores made ready to be optimised: bounded, rid of length, less the penalties of the recipe.

    The penalty for a response that does not end its turn is arXiv:1909.08593's, who take 1 off; a score of
    -1 whatever it says, `missing_end_score`, is that of the code of arXiv:2009.01325.
    """
    lengths = [len(sample.response_ids) for sample in samples]
    if settings.score_bound is not None:
        scores = bounded(scores, settings.score_bound)
    if settings.length_neutral:
        scores = length_neutral(scores, lengths, settings.samples)
    longest = settings.max_new_tokens
    margin = settings.form.overlong * longest
    return [
        _ended(score, sample, settings)
        - settings.length_penalty * length
        + overlong(length, longest=longest, margin=margin)
        for score, sample, length in zip(scores, samples, lengths, strict=True)
    ]


def _ended(score: float, sample: Sample, settings: PolicySettings) -> float:
    if sample.ended:
        return score
    fixed = settings.missing_end_score
    return score - settings.missing_end if fixed is None else fixed


def overlong(length: int, *, longest: int, margin: float) -> float:
    """0 up to `margin` tokens before the `longest` a response may be, then down to -1 at it.

    DAPO's soft punishment (arXiv:2503.14476, section 3.4); without a margin there is none.
    """
    return min(0.0, (longest - margin - length) / margin) if margin else 0.0


def bounded(scores: Sequence[float], bound: float) -> list[float]:
    """bound * tanh(score / bound): as it is near 0, where good answers are, and never beyond the bound.

    A reward model trained on few comparisons calls some samples ten times worse than bad; unbounded, these
    few decide a step. arXiv:2502.18770 bounds by the logistic function, which forgets more of the scale.
    """
    return [bound * math.tanh(score / bound) for score in scores]


def length_neutral(scores: Sequence[float], lengths: Sequence[int], samples: int) -> list[float]:
    """Scores less what length alone explains of them, within prompts; means of prompts stay as they are.

    The slope is that of a regression of score on log length over all samples, each measured from the mean of
    its prompt's `samples` neighbours. A policy that is paid so gains nothing from length as such. Prompts
    whose samples have one score are left out of it and left as they are: length explains nothing of them, and
    what was taken off for it would be all that tells them apart.
    """
    score = np.reshape(np.asarray(scores, dtype=float), (-1, samples))
    length = np.reshape(np.log1p(np.asarray(lengths, dtype=float)), (-1, samples))
    mixed = score.max(axis=1) > score.min(axis=1)
    off = (length - length.mean(axis=1, keepdims=True)) * mixed[:, None]
    slope = slope_within(score[mixed], length[mixed])
    return [float(value) for value in (score - slope * off).ravel()]
