"""Bootstrap intervals of means and of paired differences, resampling whole clusters where there are any."""

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from gnomon.stats.units import Floats, finite, positions, same_length

_CELLS = 4_000_000
"""Drawn indices held at once, so that memory stays bounded however many units there are."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval (unless said otherwise) and the number of values behind it."""

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, float | int]:
        """The estimate as plain JSON values."""
        return asdict(self)


def mean_interval(
    values: Sequence[float] | Floats,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """The mean and its 95 % percentile bootstrap interval.

    With `clusters` (one key per value) whole clusters are drawn with replacement, and each resample's mean
    is over the values it drew. A single unit, or values that are all equal, have no spread to resample: the
    interval is then the point itself. It covers 92 % with 20 units and 94 with 50; `mean_clustered` keeps
    its level with few. DataError for no values, NaN, infinities or lengths that differ.
    """
    array = finite(values, "values")
    sums, counts = _by_cluster(array, clusters)
    means = _resampled_means(sums, counts, resamples, seed)
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(float(array.mean()), float(low), float(high), array.size)


def paired_difference(
    a: Sequence[float] | Floats,
    b: Sequence[float] | Floats,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """The mean of `a` minus `b`, pair by pair, with the bootstrap interval of `mean_interval`."""
    first, second = finite(a, "a"), finite(b, "b")
    same_length(first, second, "paired difference")
    return mean_interval(first - second, clusters, resamples, seed)


def _by_cluster(array: Floats, clusters: Sequence[Hashable] | None) -> tuple[Floats, Floats]:
    """The sum and the number of values of each cluster, in order of first appearance."""
    where = positions(clusters, array.size)
    sums = np.bincount(where, weights=array).astype(np.float64)
    return sums, np.bincount(where).astype(np.float64)


def _resampled_means(sums: Floats, counts: Floats, resamples: int, seed: int) -> Floats:
    generator = np.random.default_rng(seed)
    units = sums.size
    step = max(1, _CELLS // units)
    means = []
    for start in range(0, resamples, step):
        drawn = generator.integers(0, units, size=(min(step, resamples - start), units))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.concatenate(means)
