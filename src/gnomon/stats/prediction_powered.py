"""Few people and many judgements in one mean: unbiased whatever the judge, narrower where it is any good."""

from collections.abc import Hashable, Sequence
from math import sqrt

import numpy as np
from scipy.special import stdtrit

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.clustered import degrees_of_freedom
from gnomon.stats.units import Floats, Positions, finite, positions, same_length


def prediction_powered_mean(
    gold: Sequence[float] | Floats,
    predictions: Sequence[float] | Floats,
    others: Sequence[float] | Floats,
    clusters: tuple[Sequence[Hashable], Sequence[Hashable]] | None = None,
    weight: float | None = None,
    level: float = 0.95,
) -> Estimate:
    """The mean of `gold` over a population of which a judge scored more than people did.

    `gold` and `predictions` are the people's and the judge's values of the same rows, [n]; `others` the
    judge's of rows without gold, [N], drawn alike. The estimate is mean(gold) - w (mean(predictions) -
    mean(others)): weight 1 is arXiv:2301.09633, none is tuned to the least variance, as in arXiv:2311.01453
    where rows are their own clusters. `clusters` are the keys of both kinds of rows, which may share some.

    The variance is of the clusters' sums as in `linear_interval`, each kind's share its own; t has the
    degrees of freedom of the gold rows, one less for a tuned weight. `n` counts gold rows. DataError for
    lengths that differ, fewer than three clusters of gold rows and fewer than two of rows without.
    """
    people, judged, rest = finite(gold, "gold"), finite(predictions, "predictions"), finite(others, "others")
    same_length(people, judged, "gold and predictions")
    where = _clusters(clusters, people.size, rest.size)
    if np.unique(where[: people.size]).size < 3 or np.unique(where[people.size :]).size < 2:
        raise DataError(
            "prediction-powered mean: gold rows must be of at least three clusters, rows without of two"
        )
    voted, shares = _sums(people, where[: people.size])
    paired, _ = _sums(judged, where[: people.size])
    alone, _ = _sums(rest, where[people.size :])
    size = where.max() + 1
    voted, paired, alone = (np.pad(x, (0, size - x.size)) for x in (voted, paired, alone))
    control = paired - alone
    freedom = degrees_of_freedom(shares)
    tuned = weight is None
    if weight is None:
        weight = float(voted @ control / (control @ control)) if control.any() else 0.0
    variance = float(((voted - weight * control) ** 2).sum()) * (freedom / (freedom - 1) if tuned else 1)
    half = float(stdtrit(freedom - tuned, (1 + level) / 2)) * sqrt(variance)
    value = float(people.mean() - weight * (judged.mean() - rest.mean()))
    return Estimate(value, value - half, value + half, people.size)


def _clusters(
    keys: tuple[Sequence[Hashable], Sequence[Hashable]] | None, gold: int, others: int
) -> Positions:
    if keys is None:
        return positions(None, gold + others)
    if (len(keys[0]), len(keys[1])) != (gold, others):
        raise DataError(
            f"prediction-powered mean: {len(keys[0])} and {len(keys[1])} cluster keys for {gold} rows "
            f"with gold and {others} without; give one per row"
        )
    return positions([*keys[0], *keys[1]], gold + others)


def _sums(values: Floats, where: Positions) -> tuple[Floats, Floats]:
    """Each cluster's part of the mean's error, as corrected in `linear_interval`, and of the rows."""
    shares = np.bincount(where) / values.size
    sums = np.bincount(where, weights=values - values.mean()) / values.size
    return sums / np.sqrt(1 - shares), shares
