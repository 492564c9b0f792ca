"""Causal probes: what annotators say of two versions of a pair that differ in one thing alone."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.clustered import linear_interval
from gnomon.stats.proportion import wilson_clustered
from gnomon.stats.units import Floats, Positions


@dataclass(frozen=True, slots=True, eq=False)
class Probed:
    """One row for each annotator and probe, both of whose versions were judged; all arrays are [judged].

    `towards` and `away` are outcomes as in `Votes`: of the version whose cue is for the pair's first answer,
    and of the one whose cue is for its second. `doses`, above 0, say how much more the cue is for the first
    answer in the one than in the other: 2 for a belief or a side (from -1 to 1), doublings for length.
    """

    towards: Positions
    away: Positions
    doses: Floats
    kinds: int

    def __post_init__(self) -> None:
        rows = {len(x) for x in (self.towards, self.away, self.doses)}
        if len(rows) != 1 or 0 in rows:
            raise DataError(f"probes: columns of {sorted(rows)} rows; give both outcomes and a dose for each")
        said = np.concatenate([self.towards, self.away])
        if self.kinds < 2 or said.min() < 0 or said.max() >= self.kinds or self.doses.min() <= 0:
            raise DataError(
                f"probes: outcomes lie in [0, {self.kinds}), of at least two kinds; doses above 0"
            )


class Turned(NamedTuple):
    """How many probes' preference turned round with the cue, and how many against it: noise does both."""

    along: int
    against: int


def shift(probed: Probed, clusters: Sequence[Hashable] | None = None, level: float = 0.95) -> Estimate:
    """How far the cue moves what is said: half the difference in strength, from -1 to 1; 0 moves nobody.

    The interval is `wilson_clustered`'s of (1 + shift) / 2: it stays within bounds, and has a width where
    nobody was moved at all. Of a single cluster it is all of [-1, 1].
    """
    moved = (probed.towards - probed.away) / (probed.kinds - 1)
    found = wilson_clustered((1 + moved) / 2, clusters, level)
    return Estimate(2 * found.value - 1, 2 * found.low - 1, 2 * found.high - 1, found.n)


def turned(probed: Probed) -> Turned:
    """Preferences that changed sides between the two versions."""
    first, second = (np.sign(2 * x - probed.kinds + 1) for x in (probed.towards, probed.away))
    return Turned(int(((first > 0) & (second < 0)).sum()), int(((first < 0) & (second > 0)).sum()))


def slope(probed: Probed, clusters: Sequence[Hashable] | None = None, level: float = 0.95) -> Estimate:
    """The effect of one unit of the cue in log-odds, whatever qualities and thresholds are.

    Of outcomes with proportional odds, each cut of the scale parts the two versions' outcomes; where it parts
    them at all, the odds that it is the one with the cue which lies above are exp(slope dose), in which
    quality and cut have cancelled (McCullagh, 1977). Over all cuts together as in Mukherjee et al. (2008):
    sum_i dose_i (up_i - (up_i + down_i) expit(slope dose_i)) = 0, up_i and down_i the cuts that part
    judgement i with and against the cue. Where annotators' slopes differ it is near their mean. The interval
    is `linear_interval`'s, by clusters. DataError where nothing changed, or all changes go one way.
    """
    difference = np.asarray(probed.towards - probed.away, dtype=np.float64)
    up, down, doses = np.maximum(difference, 0), np.maximum(-difference, 0), probed.doses
    if not up.any() or not down.any():
        raise DataError("slope: too few judgements changed between the two versions to tell odds")

    def score(value: float) -> Floats:
        scores: Floats = doses * (up - (up + down) * expit(value * doses))
        return scores

    bound = 1.0
    while score(bound).sum() > 0 or score(-bound).sum() < 0:
        bound *= 2
    value = float(brentq(lambda x: score(x).sum(), -bound, bound))
    chance = expit(value * doses)
    information = float((doses**2 * (up + down) * chance * (1 - chance)).mean())
    return linear_interval(value, score(value) / information, clusters, level)
