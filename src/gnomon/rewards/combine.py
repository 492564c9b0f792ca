"""What a sampled response is worth: a reward model's score, shaped, and the checks it passes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Protocol

import numpy as np

from gnomon.config import EnsembleSettings, PolicySettings
from gnomon.judges.verifiable import Check, run_checks
from gnomon.models.reward_model import Score, Scorer
from gnomon.rollouts.engine import Sample
from gnomon.stats.within import slope_within


class Reward(Protocol):
    """Scores samples; higher is better. Anything with this shape can be optimised."""

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """One number for each sample, of which one of many processes may have none."""
        ...


@dataclass(frozen=True)
class ModelReward:
    """The reward model's score on exactly the ids that were sampled; of an ensemble, what `settings` make of
    its members' scores."""

    scorer: Scorer
    settings: EnsembleSettings = field(default_factory=EnsembleSettings)

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """Score prompt and response together."""
        rows = [[*sample.prompt_ids, *sample.response_ids] for sample in samples]
        return [conservative(score, self.settings) for score in self.scorer.scores(rows)]


def conservative(score: Score, settings: EnsembleSettings) -> float:
    """One number for the scores of an ensemble's members.

    `worst` and `mean_minus_variance` are WCO and UWO of arXiv:2310.02743, with `caution` as its lambda;
    `mean_minus_std` has the unit of the scores. Of one member all are its score.
    """
    match settings.combine:
        case "worst":
            return score.lowest
        case "mean_minus_std":
            return score.value - settings.caution * score.uncertainty
        case "mean_minus_variance":
            return score.value - settings.caution * score.uncertainty**2
    return score.value


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

    The penalty for a response that does not end its turn is arXiv:1909.08593's, who take 1 off.
    """
    lengths = [len(sample.response_ids) for sample in samples]
    if settings.score_bound is not None:
        scores = bounded(scores, settings.score_bound)
    if settings.length_neutral:
        scores = length_neutral(scores, lengths, settings.samples)
    return [
        score - (0.0 if sample.ended else settings.missing_end) - settings.length_penalty * length
        for score, sample, length in zip(scores, samples, lengths, strict=True)
    ]


def bounded(scores: Sequence[float], bound: float) -> list[float]:
    """bound * tanh(score / bound): as it is near 0, where good answers are, and never beyond the bound.

    A reward model trained on few comparisons calls some samples ten times worse than bad; unbounded, these
    few decide a step. arXiv:2502.18770 bounds by the logistic function, which forgets more of the scale.
    """
    return [bound * math.tanh(score / bound) for score in scores]


def length_neutral(scores: Sequence[float], lengths: Sequence[int], samples: int) -> list[float]:
    """Scores less what length alone explains of them, within prompts; means of prompts stay as they are.

    The slope is that of a regression of score on log length over all samples, each measured from the mean of
    its prompt's `samples` neighbours. A policy that is paid so gains nothing from length as such.
    """
    score = np.reshape(np.asarray(scores, dtype=float), (-1, samples))
    length = np.reshape(np.log1p(np.asarray(lengths, dtype=float)), (-1, samples))
    off = length - length.mean(axis=1, keepdims=True)
    slope = slope_within(score, length)
    return [float(value) for value in (score - slope * off).ravel()]
