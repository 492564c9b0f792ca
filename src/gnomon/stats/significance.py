"""Tests that give p-values, and p-values of many tests at once."""

from collections.abc import Sequence

import numpy as np
from scipy.special import bdtr

from gnomon.errors import DataError
from gnomon.stats.units import Floats, finite


def mcnemar(first_only: int, second_only: int, *, mid_p: bool = False) -> float:
    """The two-sided exact p-value of pairs of which only the first, or only the second, succeeded.

    Both are as likely where there is no difference, so the first's count is Binomial(b + c, 1/2). `mid_p`
    counts half of what is as extreme as was seen (Fagerland et al., 2013, doi:10.1186/1471-2288-13-91): it
    is less cautious, and may exceed its level by a little. 1 where no pair differs; DataError for counts
    below 0.
    """
    fewer, pairs = min(first_only, second_only), first_only + second_only
    if fewer < 0:
        raise DataError(f"mcnemar: {first_only} and {second_only} are counts of pairs, at least 0")
    if pairs == 0:
        return 1.0
    tail = float(bdtr(fewer, pairs, 0.5))
    seen = tail - float(bdtr(fewer - 1, pairs, 0.5)) if fewer else tail
    if first_only == second_only:
        return 1 - seen / 2 if mid_p else 1.0
    return 2 * tail - seen if mid_p else 2 * tail


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
