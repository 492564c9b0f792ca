"""How far any number of labellers agree, beyond what chance gives, with intervals over what they label.

Every figure is a function of sums over units, so one set of resamples serves all: units that were labelled
alike are drawn as one number, which makes ten thousand resamples a few milliseconds.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.units import Floats, Positions, positions

Scale = Literal["nominal", "ordinal"]

_CELLS = 4_000_000
"""Drawn numbers held at once."""


@dataclass(frozen=True, slots=True)
class _Sums:
    """Of units with at least two labels; the first axis is of resamples.

    `units` [draws]; `totals` [draws, kinds], labels of each kind; `pairs` [draws, kinds, kinds], ordered
    pairs of labels of one unit, a unit of n labels weighing n; `shares` [draws, kinds], each unit weighing
    1; `agreement` [draws], each unit's share of equal pairs; `equal` and `all_pairs` [draws], each pair
    weighing 1; `left_out` [draws], labels that equal the majority of the others.
    """

    units: Floats
    totals: Floats
    pairs: Floats
    shares: Floats
    agreement: Floats
    equal: Floats
    all_pairs: Floats
    left_out: Floats


def tally(units: Positions, labels: Positions, kinds: int) -> Floats:
    """How often each unit got each kind, [units, kinds], from one row per label; both count from 0.

    DataError for no labels, and for labels outside of [0, kinds).
    """
    if len(units) != len(labels) or len(labels) == 0:
        raise DataError(f"tally: {len(units)} units against {len(labels)} labels; give one of each per row")
    if min(labels) < 0 or max(labels) >= kinds:
        raise DataError(f"tally: labels lie in [0, {kinds}); found {min(labels)} to {max(labels)}")
    count = int(max(units)) + 1
    cells = np.asarray(units) * kinds + np.asarray(labels)
    return np.bincount(cells, minlength=count * kinds).reshape(count, kinds).astype(np.float64)


def raw_agreement(
    counts: Floats, clusters: Sequence[Hashable] | None = None, resamples: int = 10_000, seed: int = 0
) -> Estimate:
    """The share of pairs of labels of one unit that are equal, every pair weighing the same.

    `counts` [units, kinds] are `tally`'s; units with fewer than two labels say nothing and do not count in
    `n`. The 95 % interval is the percentile bootstrap over units, or over whole `clusters` of them.
    DataError where no unit has two labels.
    """
    return _resampled(counts, lambda s: s.equal / s.all_pairs, clusters, resamples, seed)


def leave_one_out(
    counts: Floats, clusters: Sequence[Hashable] | None = None, resamples: int = 10_000, seed: int = 0
) -> Estimate:
    """The share of labels that equal the majority of their unit's others; each of k that tie is 1/k right.

    Interval and errors are `raw_agreement`'s.
    """
    return _resampled(counts, lambda s: s.left_out / s.totals.sum(axis=1), clusters, resamples, seed)


def krippendorff_alpha(
    counts: Floats,
    scale: Scale = "nominal",
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Krippendorff's alpha, 1 - D_o / D_e, for any number of labels per unit (Krippendorff, 2011).

    D_o = sum_ck o_ck d_ck / n over coincidences o within units, D_e = sum_ck n_c n_k d_ck / (n (n - 1)). d is
    1 between kinds that differ, and on an ordinal scale (sum_{g=c}^{k} n_g - (n_c + n_k) / 2)^2. Interval
    and errors are `raw_agreement`'s; DataError also where all labels are of one kind.
    """

    def alpha(sums: _Sums) -> Floats:
        n = sums.totals.sum(axis=1)
        apart = _distances(sums.totals, scale)
        seen = (sums.pairs * apart).sum(axis=(1, 2))
        chance = np.einsum("rc,rk,rck->r", sums.totals, sums.totals, apart)
        found: Floats = 1 - (n - 1) * _over(seen, chance)
        return found

    return _resampled(counts, alpha, clusters, resamples, seed)


def fleiss_kappa(
    counts: Floats, clusters: Sequence[Hashable] | None = None, resamples: int = 10_000, seed: int = 0
) -> Estimate:
    """Fleiss' kappa (1971): mean agreement within units beyond sum_k p_k^2, p the shares of all labels.

    Units may have different numbers of labels; each weighs the same in the agreement. Interval and errors as
    in `krippendorff_alpha`.
    """

    def kappa(sums: _Sums) -> Floats:
        chance = ((sums.totals / sums.totals.sum(axis=1, keepdims=True)) ** 2).sum(axis=1)
        return 1 - _over(1 - sums.agreement / sums.units, 1 - chance)

    return _resampled(counts, kappa, clusters, resamples, seed)


def gwet_ac1(
    counts: Floats, clusters: Sequence[Hashable] | None = None, resamples: int = 10_000, seed: int = 0
) -> Estimate:
    """Gwet's AC1 (2008): mean agreement within units beyond sum_k p_k (1 - p_k) / (kinds - 1).

    p_k is the mean over units of the share of kind k. Where nearly all labels are of one kind, kappa and
    alpha fall towards 0 though labellers agree; AC1 does not. Interval and errors are `raw_agreement`'s.
    """
    kinds = counts.shape[1]

    def ac1(sums: _Sums) -> Floats:
        shares = sums.shares / sums.units[:, None]
        chance = (shares * (1 - shares)).sum(axis=1) / (kinds - 1)
        found: Floats = 1 - (1 - sums.agreement / sums.units) / (1 - chance)
        return found

    return _resampled(counts, ac1, clusters, resamples, seed)


def _resampled(
    counts: Floats,
    figure: Callable[[_Sums], Floats],
    clusters: Sequence[Hashable] | None,
    resamples: int,
    seed: int,
) -> Estimate:
    """The figure of all units, and between which values 95 % of its resamples lie."""
    labelled = counts.sum(axis=1) >= 2
    if not labelled.any():
        raise DataError("agreement: no unit has two labels; have some labelled again by others")
    where = positions(clusters, counts.shape[0])
    per_unit = _features(counts[labelled])
    own = np.unique(where[labelled], return_inverse=True)[1]
    per_cluster = np.zeros((own.max() + 1, per_unit.shape[1]))
    np.add.at(per_cluster, own, per_unit)
    patterns, often = np.unique(per_cluster, axis=0, return_counts=True)
    kinds, drawn = counts.shape[1], int(often.sum())
    value = float(figure(_sums(often[None] @ patterns, kinds))[0])
    if not np.isfinite(value):
        raise DataError("agreement: all labels are of one kind, and chance alone agrees")
    generator = np.random.default_rng(seed)
    step = max(1, _CELLS // max(len(patterns), patterns.shape[1]))
    found = []
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        found.append(figure(_sums(generator.multinomial(drawn, often / drawn, size) @ patterns, kinds)))
    low, high = np.nanquantile(np.concatenate(found), (0.025, 0.975))
    return Estimate(value, float(low), float(high), int(labelled.sum()))


def _features(counts: Floats) -> Floats:
    """What `_Sums` adds up, one row per unit."""
    units, kinds = counts.shape
    size = counts.sum(axis=1, keepdims=True)
    ordered = counts[:, :, None] * (counts[:, None, :] - np.eye(kinds))
    equal = np.trace(ordered, axis1=1, axis2=2)[:, None]
    all_pairs = size * (size - 1)
    columns = (
        np.ones((units, 1)),
        counts,
        (ordered / (size[:, :, None] - 1)).reshape(units, -1),
        counts / size,
        equal / all_pairs,
        equal,
        all_pairs,
        _right_of_others(counts)[:, None],
    )
    return np.concatenate(columns, axis=1)


def _sums(rows: Floats, kinds: int) -> _Sums:
    """The columns of `_features`, summed, by their names."""
    ends = np.cumsum([1, kinds, kinds * kinds, kinds, 1, 1, 1])
    units, totals, pairs, shares, agreement, equal, all_pairs, left_out = np.split(rows, ends, axis=1)
    flat = (x[:, 0] for x in (units, agreement, equal, all_pairs, left_out))
    first, *others = flat
    return _Sums(first, totals, pairs.reshape(-1, kinds, kinds), shares, *others)


def _right_of_others(counts: Floats) -> Floats:
    """Labels of each unit that equal the majority of its others, [units]."""
    right = np.zeros(len(counts))
    for kind in range(counts.shape[1]):
        others = counts - np.eye(counts.shape[1])[kind]
        best = others == others.max(axis=1, keepdims=True)
        right += counts[:, kind] * best[:, kind] / best.sum(axis=1)
    return right


def _distances(totals: Floats, scale: Scale) -> Floats:
    """Krippendorff's squared distances between kinds, [draws, kinds, kinds]."""
    kinds = totals.shape[1]
    if scale == "nominal":
        return np.broadcast_to(1 - np.eye(kinds), (len(totals), kinds, kinds))
    middle = np.cumsum(totals, axis=1) - totals / 2
    return (middle[:, :, None] - middle[:, None, :]) ** 2


def _over(part: Floats, whole: Floats) -> Floats:
    """part / whole, NaN where there is no whole."""
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
