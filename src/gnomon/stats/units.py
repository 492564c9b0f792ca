"""What every interval starts from: rows of finite numbers, and the clusters that rows belong to."""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from gnomon.errors import DataError

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]


def finite(values: Sequence[float] | Floats, name: str) -> Floats:
    """The values as an array, [n]; DataError for none at all, NaN, infinities or more than one dimension."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise DataError(f"{name} must be a non-empty list of numbers, not of shape {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise DataError(f"{name}[{bad[0]}] is {array[bad[0]]}; leave out or mend such rows first")
    return array


def same_length(first: Floats, second: Floats, names: str) -> None:
    """DataError where two arrays that belong row to row do not have as many rows."""
    if first.size != second.size:
        raise DataError(f"{names}: {first.size} values against {second.size}; pair them first")


def worth_of(keys: Sequence[Hashable]) -> float:
    """How many clusters of one size rows with these keys are worth: 1 / sum of the clusters' squared shares.

    DataError for no keys.
    """
    if len(keys) == 0:
        raise DataError("no cluster keys; give one per value")
    counts = np.bincount(positions(keys, len(keys)))
    return len(keys) ** 2 / float((counts**2).sum())


def positions(keys: Sequence[Hashable] | None, rows: int) -> Positions:
    """The number of each row's cluster, [rows], from 0 in order of first appearance; no keys: one each.

    DataError where there is not one key per row.
    """
    if keys is None:
        return np.arange(rows)
    if len(keys) != rows:
        raise DataError(f"{rows} values but {len(keys)} cluster keys; give one per value")
    index: dict[Hashable, int] = {}
    return np.array([index.setdefault(key, len(index)) for key in keys], dtype=np.int64)
