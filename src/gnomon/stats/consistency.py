"""Whether labellers contradict themselves, and what their disagreement says of their errors."""

from math import sqrt
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.special import ndtr

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.coincidence import raw_agreement, tally
from gnomon.stats.units import Positions

CYCLIC_BY_CHANCE = 0.25
"""Of the eight ways three preferences can go, two go round."""


class Triads(NamedTuple):
    """Of three answers compared with one another: how often a > b > c > a."""

    cyclic: int
    complete: int

    @property
    def rate(self) -> float:
        """The share that goes round; DataError where no three were compared with one another."""
        if self.complete == 0:
            raise DataError("triads: no three answers were all compared with one another")
        return self.cyclic / self.complete

    @property
    def below_chance(self) -> float:
        """The p-value of so few, were every preference a fair coin: normal, with variance 3/16 a triad.

        Two triads that share a pair go round independently of one another (Kendall and Babington Smith,
        1940), so variances add. Sound from some twenty triads on.
        """
        expected = CYCLIC_BY_CHANCE * self.complete
        return float(ndtr((self.cyclic + 0.5 - expected) / sqrt(3 / 16 * max(self.complete, 1))))


def self_agreement(
    pairs: Positions,
    annotators: Positions,
    outcomes: Positions,
    resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """How often an annotator who judges the same pair again says the same, of all pairs of such votes.

    One row per vote. Where the second showing was swapped, mirror its outcome first: what is left is noise
    and position. Interval and errors are `raw_agreement`'s; `n` counts what was judged again.
    """
    keys = np.column_stack([np.asarray(pairs), np.asarray(annotators)])
    again = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    counts = tally(again, np.asarray(outcomes), int(np.max(outcomes)) + 1)
    return raw_agreement(counts, None, resamples, seed)


def cyclic_triads(winners: Positions, losers: Positions) -> Triads:
    """Triads among answers of which every two were compared, by the majority of each pair's votes.

    One row per decided vote, [votes] each; ties are left out, and pairs whose votes are split are not
    decided. Give answers of different prompts, and of different annotators where they are asked about one
    by one, numbers of their own.
    """
    size = int(max(np.max(winners, initial=-1), np.max(losers, initial=-1))) + 1
    if size == 0:
        return Triads(0, 0)
    ones = np.ones(len(winners))
    votes = coo_array((ones, (np.asarray(winners), np.asarray(losers))), shape=(size, size)).tocsr()
    wins = ((votes - votes.T) > 0).astype(np.float64).tocsr()
    either = (wins + wins.T).tocsr()
    cyclic = float((wins @ wins).multiply(wins.T).sum()) / 3
    complete = float((either @ either).multiply(either).sum()) / 6
    return Triads(round(cyclic), round(complete))


def agreement_of_flips(flips: float) -> float:
    """How often two labellers agree who each flip the true label of two with chance e: (1 - e)^2 + e^2."""
    if not 0 <= flips <= 1:
        raise DataError(f"flips: {flips} is no share; give one from 0 to 1")
    return (1 - flips) ** 2 + flips**2


def flips_of_agreement(agreement: float) -> float:
    """The flip rate e <= 1/2 behind an agreement on two labels: (1 - sqrt(2 a - 1)) / 2.

    1 - e is then about the highest accuracy a model can have against such labels. DataError below a half,
    which independent flips of one rate cannot give.
    """
    if not 0.5 <= agreement <= 1:
        raise DataError(f"flips: agreement {agreement} is not from 0.5 to 1, as flips of one rate make it")
    return (1 - sqrt(2 * agreement - 1)) / 2
