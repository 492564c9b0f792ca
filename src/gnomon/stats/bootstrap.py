"""Bootstrap intervals of means and of paired differences, resampling whole clusters where there are any."""

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from gnomon.errors import DataError

Floats = npt.NDArray[np.float64]

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
    interval is then the point itself. DataError for no values, NaN, infinities or lengths that differ.
    """
    array = _finite(values, "values")
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
    first, second = _finite(a, "a"), _finite(b, "b")
    if first.size != second.size:
        raise DataError(f"paired difference: {first.size} values against {second.size}; pair them first")
    return mean_interval(first - second, clusters, resamples, seed)


def _finite(values: Sequence[float] | Floats, name: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise DataError(f"bootstrap: {name} must be a non-empty list of numbers, not of shape {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise DataError(f"bootstrap: {name}[{bad[0]}] is {array[bad[0]]}; leave out or mend such rows first")
    return array


def _by_cluster(array: Floats, clusters: Sequence[Hashable] | None) -> tuple[Floats, Floats]:
    """The sum and the number of values of each cluster, in order of first appearance."""
    if clusters is None:
        return array, np.ones(array.size)
    if len(clusters) != array.size:
        raise DataError(
            f"bootstrap: {array.size} values but {len(clusters)} cluster keys; give one per value"
        )
    index: dict[Hashable, int] = {}
    where = np.array([index.setdefault(key, len(index)) for key in clusters])
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
