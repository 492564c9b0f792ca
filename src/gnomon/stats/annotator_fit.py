"""What the ordinal model of annotators has found, to be read, shown and predicted from."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri, xlogy

from gnomon.errors import DataError
from gnomon.stats.evidence import TRAITS, Point, mean
from gnomon.stats.ordinal import cuts, outcome_chances
from gnomon.stats.units import Floats
from gnomon.stats.votes import Pairs, Votes

_HALVES = 40
"""Differences at which informativeness is looked at, half of them above 0."""


class Population(NamedTuple):
    """Means and standard deviations of the traits over annotators, [4] each; the mean length slope is 0."""

    means: Floats
    spreads: Floats


class Interval(NamedTuple):
    """Estimates and their bounds, arrays of one shape."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What votes say, to be predicted from, updated and shown.

    `point.traits` [crowd, 4] are in the order of `TRAITS`; `covariances` [crowd, 4, 4] theirs, by Laplace.
    `differences` and `shares` [pairs, nodes] are each pair's posterior difference at its nodes. `steps` is
    how many it took; `settled` whether it stopped by itself.
    """

    kinds: int
    point: Point
    covariances: Floats
    population: Population
    differences: Floats
    shares: Floats
    log_likelihood: float
    steps: int
    settled: bool

    def trait(self, name: str, level: float = 0.9) -> Interval:
        """Each annotator's `reliability`, `position`, `length` or `log_threshold`, and its interval, [crowd].

        Reliability is log-odds per unit of quality (0 says nothing, below 0 the contrary); position is added
        for what stands first, length per unit of length, the threshold is e^log_threshold in log-odds.
        DataError for other names.
        """
        if name not in TRAITS:
            raise DataError(f"annotators: no trait {name!r}; there are {', '.join(TRAITS)}")
        column = TRAITS.index(name)
        value = self.point.traits[:, column]
        half = float(ndtri((1 + level) / 2)) * np.sqrt(self.covariances[:, column, column])
        return Interval(value, value - half, value + half)

    def informativeness(self) -> Floats:
        """What a vote tells of which answer is better, in bits from 0 to 1, [crowd].

        The mutual information of outcome and sign of the difference, for differences as they were, taken for
        normal: what reliability is worth once position and ties have had their say. Spammers of any kind
        are near 0, those too who always call a tie and of whose reliability nothing can be known.
        """
        points, weights = np.polynomial.hermite.hermgauss(_HALVES)
        size = np.sqrt(mean(self.shares, self.differences**2).mean())
        traits = self.point.traits[:, :, None]
        eta = traits[:, 0] * size * np.sqrt(2) * points + traits[:, 1]
        threshold = np.broadcast_to(np.exp(traits[:, 3]), eta.shape)
        chances = outcome_chances(eta, threshold, cuts(self.kinds, self.point.gaps))
        joint = chances * (weights / weights.sum())[:, None]
        worse, better = joint[:, : _HALVES // 2].sum(axis=1), joint[:, _HALVES // 2 :].sum(axis=1)
        bits: Floats = (xlogy(worse, 2 * worse) + xlogy(better, 2 * better)).sum(axis=1)
        bits = (bits - xlogy(worse + better, worse + better).sum(axis=1)) / np.log(2)
        return np.maximum(bits, 0.0)

    def quality(self, level: float = 0.9) -> Interval:
        """Each pair's difference in quality, first answer less second, and its interval, [pairs]."""
        value, error = self.moments()
        half = float(ndtri((1 + level) / 2)) * error
        return Interval(value, value - half, value + half)

    def moments(self) -> tuple[Floats, Floats]:
        """Posterior means and standard deviations of the pairs' differences, [pairs] each."""
        centre = mean(self.shares, self.differences)
        return centre, np.sqrt(mean(self.shares, (self.differences - centre[:, None]) ** 2))

    def better(self) -> Floats:
        """The chance that the first answer is the better one, [pairs]: the normal's of `moments`."""
        centre, error = self.moments()
        chance: Floats = ndtr(np.divide(centre, error, out=np.sign(centre) * 1e9, where=error > 0))
        return chance

    def soft_labels(self) -> Floats:
        """How a typical annotator who leans to no side would vote, a tie counting half, [pairs].

        What a reward model is trained on: it keeps what is doubtful doubtful.
        """
        strength = np.linspace(0, 1, self.kinds)
        votes = np.where(strength == 0.5, 0.5, strength > 0.5)
        means = self.population.means
        threshold = np.full(self.differences.shape, np.exp(means[3]))
        chances = outcome_chances(means[0] * self.differences, threshold, cuts(self.kinds, self.point.gaps))
        return mean(self.shares, chances @ votes)

    def predict(self, votes: Votes, pairs: Pairs) -> Floats:
        """The chance of each outcome of such votes, whatever outcomes they hold, [votes, kinds]."""
        traits = self.point.traits[votes.annotators][:, :, None]
        offset = traits[:, 1] * votes.sides[:, None] + traits[:, 2] * pairs.lengths[votes.pairs][:, None]
        eta = traits[:, 0] * self.differences[votes.pairs] + offset
        threshold = np.broadcast_to(np.exp(traits[:, 3]), eta.shape)
        chances = outcome_chances(eta, threshold, cuts(self.kinds, self.point.gaps))
        found: Floats = np.einsum("vq,vqk->vk", self.shares[votes.pairs], chances)
        return found
