"""Intervals of a share of successes."""

from math import sqrt
from statistics import NormalDist

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate


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


def rule_of_three(n: int, level: float = 0.95) -> Estimate:
    """No failure in n: a share of 0 and its exact one-sided bound 1 - (1 - level)^(1/n), just under 3/n.

    Hanley and Lippman-Hand (1983): were the share larger, n successes would be less likely than 1 - level.
    DataError for n below 1.
    """
    if n < 1:
        raise DataError(f"rule of three: {n} trials; at least one is needed")
    return Estimate(0.0, 0.0, 1 - (1 - level) ** (1 / n), n)
