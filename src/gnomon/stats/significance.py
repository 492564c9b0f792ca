"""Tests that give p-values, and p-values of many tests at once."""

from collections.abc import Hashable, Sequence

import numpy as np
from scipy.special import stdtr

from gnomon.errors import DataError
from gnomon.stats.clustered import degrees_of_freedom
from gnomon.stats.units import Floats, finite, positions


def sign_flips(differences: Sequence[float] | Floats, clusters: Sequence[Hashable] | None = None) -> float:
    """The two-sided exact p-value of paired differences in whole numbers, as of successes and failures.

    Where nothing differs each cluster's sum is as likely to be its negative (Fisher's randomisation test):
    the share of all 2^G signs whose total is as far from 0. Of pairs that stand alone it is McNemar's exact
    test. DataError for other numbers than whole ones, and lengths that differ.
    """
    array = finite(differences, "differences")
    if (array != np.rint(array)).any():
        raise DataError("sign flips: differences of successes are whole numbers; found others")
    sums = np.bincount(positions(clusters, array.size), weights=array).astype(np.int64)
    chances = np.ones(1)
    for size in np.abs(sums[sums != 0]):
        wider = np.zeros(chances.size + 2 * size)
        wider[: chances.size] += chances / 2
        wider[2 * size :] += chances / 2
        chances = wider
    totals = np.arange(chances.size) - chances.size // 2
    return min(1.0, float(chances[np.abs(totals) >= abs(sums.sum())].sum()))


def about_zero(differences: Sequence[float] | Floats, clusters: Sequence[Hashable] | None = None) -> float:
    """The two-sided p-value of paired differences whose mean is 0, by Student's t.

    t = sum_g S_g / sqrt(sum_g S_g^2), S_g the sum of cluster g: the standard error is about 0 and not about
    the mean, as differences that are all alike have none there. It is cautious with few clusters: t^2 is
    never above their number. 1 for a single cluster, and where nothing differs. DataError as in `finite`,
    and for lengths that differ.
    """
    array = finite(differences, "differences")
    where = positions(clusters, array.size)
    sums = np.bincount(where, weights=array)
    error = float(np.sqrt((sums**2).sum()))
    if sums.size < 2 or error == 0:
        return 1.0
    freedom = degrees_of_freedom(np.bincount(where) / array.size)
    return 2 * float(stdtr(freedom, -abs(float(sums.sum())) / error))


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """Holm's adjusted p-values (1979), in the order given: those <= a hold together with error a.

    The k-th smallest of m, from 0, times m - k, never below one before it. DataError outside [0, 1].
    """
    checked = _probabilities(p_values)
    order = np.argsort(checked, kind="stable")
    steps = np.maximum.accumulate(checked[order] * np.arange(checked.size, 0, -1))
    return _in_place(np.minimum(steps, 1), order)


def benjamini_hochberg(p_values: Sequence[float] | Floats) -> Floats:
    """Benjamini and Hochberg's adjusted p-values (1995), in the order given: of those <= q, q are false.

    The k-th smallest of m, from 1, times m / k, never above one after it. DataError outside [0, 1].
    """
    checked = _probabilities(p_values)
    order = np.argsort(checked, kind="stable")
    scaled = checked[order] * checked.size / np.arange(1, checked.size + 1)
    return _in_place(np.minimum.accumulate(scaled[::-1])[::-1], order)


def _probabilities(values: Sequence[float] | Floats) -> Floats:
    checked = finite(values, "p_values")
    if checked.min() < 0 or checked.max() > 1:
        raise DataError("p-values lie in [0, 1]; found others")
    return checked


def _in_place(ordered: Floats, order: np.ndarray) -> Floats:
    back = np.empty_like(ordered)
    back[order] = ordered
    return back
