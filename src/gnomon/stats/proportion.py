"""Intervals of a share of successes."""

from collections.abc import Hashable, Sequence
from math import sqrt
from statistics import NormalDist

import numpy as np
from scipy.special import stdtrit

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.clustered import degrees_of_freedom, mean_clustered
from gnomon.stats.units import Floats, finite, positions


def wilson(successes: int, n: int, level: float = 0.95) -> Estimate:
    """The share of successes and Wilson's score interval (1927), sound at 0 and n where the bootstrap is not.

    DataError where n is 0 or the successes do not fit in it.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise DataError(f"wilson: {successes} successes of {n}; both are counts, and n is at least 1")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Estimate(share, low, high, n)


def wilson_clustered(
    outcomes: Sequence[float] | Floats, clusters: Sequence[Hashable] | None = None, level: float = 0.95
) -> Estimate:
    """The mean of outcomes in [0, 1], as passes are, and Wilson's interval of as many rows as they are worth.

    Rows in clusters are worth n = p (1 - p) / SE^2 that stand alone, SE and Student's t, in place of z, from
    `mean_clustered`; where nothing varies, 1 / sum of the clusters' squared shares. With 20 and 50 clusters
    of any sizes it covers 90 to 98 %, where `mean_clustered` does 59 to 96 (docs/log.md). A single cluster
    tells nothing: the interval is then all of [0, 1]. DataError for outcomes outside it, and as there.
    """
    values = finite(outcomes, "wilson: outcomes")
    if values.min() < 0 or values.max() > 1:
        raise DataError("wilson: outcomes lie in [0, 1]; found others")
    shares = np.bincount(positions(clusters, values.size)) / values.size
    if shares.size == 1:
        return Estimate(float(values.mean()), 0.0, 1.0, values.size)
    found = mean_clustered(values, clusters, level)
    share, half = found.value, found.high - found.value
    if half > 0 and 0 < share < 1:
        doubt = half**2 / (share * (1 - share))
    else:
        doubt = float(stdtrit(degrees_of_freedom(shares), (1 + level) / 2) ** 2 * (shares**2).sum())
    centre = (share + doubt / 2) / (1 + doubt)
    half = sqrt(share * (1 - share) * doubt + doubt**2 / 4) / (1 + doubt)
    return Estimate(share, max(centre - half, 0.0), min(centre + half, 1.0), found.n)


def rule_of_three(n: int, level: float = 0.95) -> Estimate:
    """No failure in n: a share of 0 and its exact one-sided bound 1 - (1 - level)^(1/n), just under 3/n.

    Hanley and Lippman-Hand (1983): were the share larger, n successes would be less likely than 1 - level.
    DataError for n below 1.
    """
    if n < 1:
        raise DataError(f"rule of three: {n} trials; at least one is needed")
    return Estimate(0.0, 0.0, 1 - (1 - level) ** (1 / n), n)
