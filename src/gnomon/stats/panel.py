"""Several members who judge the same pairs: how they go together, what each changes, what a truth reveals.

Log-odds are [rows, members], of the first answer of each pair; NaN where a member was not asked.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.clustered import linear_interval
from gnomon.stats.logistic import fit_logistic
from gnomon.stats.units import Floats, positions

PENALTY = 1.0
"""Weight of |b| beside the sum of cross-entropies: what a row or two could not say is not said."""


class Influence(NamedTuple):
    """Of each member: the share of rows whose verdict turns where it is left out, how far the mean
    probability moves there, and the rows where it was asked beside others, [members] each."""

    turned: Floats
    moved: Floats
    rows: Floats


def correlation(
    first: Floats, second: Floats, clusters: Sequence[Hashable] | None = None, level: float = 0.95
) -> Estimate:
    """Of two members' log-odds, about 0 and not about their means: which answer stands first is arbitrary.

    r = sum(xy) / sqrt(sum(x^2) sum(y^2)) over rows where both were asked; its interval is `linear_interval`'s
    of xy - r (x^2 + y^2) / 2 in units of their root mean squares, cut off at -1 and 1. DataError for fewer
    than two clusters, or a member that never says anything.
    """
    both = np.isfinite(first) & np.isfinite(second)
    x, y = first[both], second[both]
    if not (x.any() and y.any()):
        raise DataError("correlation: the two have no pair on which both say something")
    x, y = x / np.sqrt((x**2).mean()), y / np.sqrt((y**2).mean())
    r = float((x * y).mean())
    own = None if clusters is None else [c for c, kept in zip(clusters, both, strict=True) if kept]
    found = linear_interval(r, x * y - r * (x**2 + y**2) / 2, own, level)
    return Estimate(r, max(found.low, -1.0), min(found.high, 1.0), found.n)


def influence(odds: Floats) -> Influence:
    """What leaving each member out changes in the mean probability, by rows it shares with others."""
    asked = np.isfinite(odds)
    chances = np.where(asked, expit(np.where(asked, odds, 0.0)), 0.0)
    count, total = asked.sum(axis=1, keepdims=True), chances.sum(axis=1, keepdims=True)
    shared = asked & (count > 1)
    whole = total / np.maximum(count, 1)
    without = (total - chances) / np.maximum(count - 1, 1)
    turned = shared & (np.sign(whole - 0.5) != np.sign(without - 0.5))
    rows = shared.sum(axis=0)
    many = np.maximum(rows, 1)
    moved = np.where(shared, np.abs(whole - without), 0.0).sum(axis=0)
    return Influence(turned.sum(axis=0) / many, moved / many, rows.astype(np.float64))


def revealed(
    odds: Floats,
    first_better: Floats,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> list[Estimate]:
    """How much each member's log-odds, beside all others', tell of known preferences: b of a logistic
    regression without intercept, each column in units of its root mean square, penalty `PENALTY` |b|.

    Above 0 a member pulls with the preferences, below against them; intervals are the 2.5 and 97.5 %
    quantiles of fits to clusters drawn again. Where a member was not asked it says nothing. Turning a pair
    round changes nothing. The reading is that of Inverse Constitutional AI (arXiv:2406.06560) with given
    principles in place of found ones. DataError for no rows, or preferences outside [0, 1].
    """
    told = np.where(np.isfinite(odds), odds, 0.0)
    if told.shape[0] == 0 or first_better.shape != told.shape[:1]:
        raise DataError(f"revealed: {told.shape[0]} rows of log-odds, {first_better.size} preferences")
    if not ((first_better >= 0) & (first_better <= 1)).all():
        raise DataError("revealed: preferences lie in [0, 1]; found others")
    scale = np.sqrt((told**2).mean(axis=0))
    says = scale > 0  # what says nothing pulls nowhere, and has no curvature
    where = positions(clusters, told.shape[0])
    units = int(where.max()) + 1
    drawn = np.random.default_rng(seed).integers(0, units, size=(resamples, units))
    times = np.stack([np.bincount(row, minlength=units) for row in drawn])
    weights = np.vstack([np.ones(told.shape[0]), times[:, where]])
    found = np.zeros((len(weights), told.shape[1]))
    if says.any():
        design, penalties = told[:, says] / scale[says], np.full(len(weights), PENALTY)
        found[:, says] = fit_logistic(design, first_better, weights, penalties)
    low, high = np.quantile(found[1:], (0.025, 0.975), axis=0)
    rows = np.isfinite(odds).sum(axis=0)
    return [
        Estimate(float(b), float(least), float(most), int(n))
        for b, least, most, n in zip(found[0], low, high, rows, strict=True)
    ]
