"""Intervals of a share of successes."""

from collections.abc import Hashable, Sequence
from math import sqrt
from statistics import NormalDist

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate, mean_interval


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


def clustered_share(
    outcomes: Sequence[float], clusters: Sequence[Hashable], resamples: int = 10_000, seed: int = 0
) -> Estimate:
    """The share of outcomes that are 1 (the others 0) and the interval of `mean_interval`.

    Where all are alike the bootstrap sees no doubt: the interval is then Wilson's, counting clusters.
    DataError for no outcomes, or not one cluster key for each.
    """
    if len(set(outcomes)) != 1 or len(outcomes) != len(clusters):
        return mean_interval(outcomes, clusters, resamples, seed)
    units, share = len(set(clusters)), float(outcomes[0])
    doubt = wilson(round(share) * units, units)
    return Estimate(share, doubt.low, doubt.high, len(outcomes))
