"""What is asked of every interval: that of many made on data with a known truth, about 95 in 100 hold it."""

from collections.abc import Sequence

import numpy as np

from gnomon.stats.bootstrap import Estimate

TIMES = 2_000
"""Enough that chance moves a coverage by half a point."""


def coverage(truth: float, found: Sequence[Estimate]) -> float:
    return float(np.mean([one.low <= truth <= one.high for one in found]))


def assert_covers(truth: float, found: Sequence[Estimate]) -> None:
    share = coverage(truth, found)
    assert 0.93 <= share <= 0.97, f"{share:.1%} hold it"


def mean_width(found: Sequence[Estimate]) -> float:
    return float(np.mean([one.high - one.low for one in found]))


def alike_within(random: np.random.Generator, clusters: np.ndarray, correlation: float) -> np.ndarray:
    """Standard normal values, [TIMES, rows], that correlate within their cluster; `clusters` are from 0."""
    shared = random.normal(size=(TIMES, clusters.max() + 1))[:, clusters]
    return correlation**0.5 * shared + (1 - correlation) ** 0.5 * random.normal(size=shared.shape)
