"""The mean of rows that were measured again and again: what prompts leave to chance, and what seeds do."""

from collections.abc import Hashable, Sequence
from math import inf, sqrt

import numpy as np
from scipy.special import stdtrit

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.clustered import linear_interval, variance_clustered
from gnomon.stats.units import Floats, finite


def mean_crossed(
    values: Sequence[Sequence[float]] | Floats,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Estimate:
    """The mean of `values` [seeds, rows] and its interval over other seeds and other rows.

    Rows and seeds are crossed random effects (Cornfield and Tukey, 1956): the variance is that of the rows'
    means, in clusters as `linear_interval` has it, plus that of the seeds' means, less what is in both of
    them, and no less than either; Student's t has the degrees of freedom that Satterthwaite's rule gives. In
    simulation it covers 92 to 97 % with three seeds or more, and with two 88 to 97 %. Of one seed the
    interval is over rows alone. `n` counts rows. DataError for no seeds, seeds of different length, NaN,
    infinities or fewer than two clusters.
    """
    lengths = {len(row) for row in values}
    if len(lengths) != 1:
        raise DataError(f"crossed mean: seeds have {sorted(lengths)} rows; each needs a value for every row")
    array = np.stack([finite(row, "values") for row in values])
    seeds, rows = array.shape
    by_row, by_seed = array.mean(axis=0), array.mean(axis=1)
    value = float(array.mean())
    if seeds == 1:
        return linear_interval(value, by_row, clusters, level)
    of_rows, df_rows = variance_clustered(by_row, clusters)
    df_seeds = seeds - 1
    of_both = sum(variance_clustered(rest, clusters)[0] for rest in array - by_row - by_seed[:, None] + value)
    parts = (
        (of_rows, df_rows),
        (float(by_seed.var(ddof=1)) / seeds, float(df_seeds)),
        (-of_both / (seeds * df_seeds), df_rows * df_seeds),
    )
    # a difference of variances may come to less than there is of either: then the larger one stands alone
    ways = [parts[:1], parts[1:2], parts]
    variance, degrees = max((_total(way) for way in ways), key=lambda found: found[0])
    half = float(stdtrit(degrees, (1 + level) / 2)) * sqrt(variance)
    return Estimate(value, value - half, value + half, rows)


def _total(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """A sum of variances, each with its degrees of freedom, and the sum's own by Satterthwaite."""
    total = sum(variance for variance, _ in parts)
    doubt = sum(variance**2 / df for variance, df in parts)
    return total, total**2 / doubt if doubt else inf
