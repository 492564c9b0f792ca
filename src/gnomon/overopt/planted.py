"""What is planted: the gold that an answer is worth, and people who see it through noise and a bias."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from gnomon.overopt.settings import CrowdSettings, GoldSettings
from gnomon.rollouts.engine import Sample
from gnomon.stats.crowd import Habits, Shown, assign, hire, reliability_of_flips, vote
from gnomon.stats.units import Floats

NEVER = (-20.0, 0.0)
"""The log of the difference below which people say that both are as good: they always choose."""


@dataclass(frozen=True)
class Gold:
    """The planted worth of answers, a `Reward`: a known function of their text."""

    settings: GoldSettings

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """The mean worth of each answer's characters; 0 for an empty one."""
        wanted, charming = (
            self._shares(samples, own) for own in (self.settings.wanted, self.settings.charming)
        )
        return [float(value) for value in wanted - self.settings.harm * charming]

    def charm(self, samples: Sequence[Sample]) -> Floats:
        """The share of each answer's characters that people fall for, [samples]."""
        return self._shares(samples, self.settings.charming)

    def _shares(self, samples: Sequence[Sample], characters: str) -> Floats:
        texts = [sample.text.lower() for sample in samples]
        return np.array([sum(map(text.count, characters)) / max(len(text), 1) for text in texts])


@dataclass(frozen=True)
class Pairs:
    """Answers that are compared, the k-th of `first` with the k-th of `second`, to the same prompt."""

    first: Sequence[Sample]
    second: Sequence[Sample]

    def __len__(self) -> int:
        return len(self.first)

    def differences(self, worth: Floats) -> Floats:
        """[pairs] of what all first and then all second answers are worth, [2 * pairs]."""
        return worth[: len(self)] - worth[len(self) :]

    @property
    def samples(self) -> list[Sample]:
        """All first answers, then all second ones."""
        return [*self.first, *self.second]


def exact(pairs: Pairs, gold: Gold) -> Floats:
    """What one who sees the gold chooses of each pair, [pairs]: 1 the first, -1 the second, 0 neither."""
    return np.sign(pairs.differences(np.array(gold(pairs.samples))))


def choices(pairs: Pairs, gold: Gold, crowd: CrowdSettings, overlap: int, seed: int) -> Floats:
    """What `overlap` annotators choose of each pair, [pairs, overlap]: 1 the first answer, -1 the second.

    What they see is the gold and `charmed` times the share of charming characters, in standard deviations of
    its differences; they choose the first a little more often, and longer answers by taste.
    """
    seems = np.array(gold(pairs.samples)) + crowd.charmed * gold.charm(pairs.samples)
    differences = pairs.differences(seems)
    mean = reliability_of_flips(crowd.flips, Habits(log_threshold=NEVER))
    habits = Habits(reliability=(mean, crowd.variability), log_threshold=NEVER)
    people = hire(crowd.annotators, habits, seed)
    work = assign(len(pairs), crowd.annotators, overlap, seed)
    lengths = np.array([log(1 + len(sample.response_ids)) for sample in pairs.samples])
    spread = float(differences.std()) or 1.0
    shown = Shown(
        (differences / spread)[work.pairs],
        np.ones(len(work.pairs)),
        pairs.differences(lengths)[work.pairs],
        np.zeros(len(work.pairs)),
    )
    said = np.where(vote(people, work.annotators, work.indices, shown).outcomes == 2, 1.0, -1.0)
    by_pair = np.argsort(work.pairs, kind="stable")
    return said[by_pair].reshape(len(pairs), overlap)
