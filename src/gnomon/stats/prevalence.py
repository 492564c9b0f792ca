"""How often something truly is so, from a judge that errs at rates measured beside it."""

from math import sqrt
from typing import NamedTuple

from scipy.special import ndtri

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate


class Count(NamedTuple):
    """How many of `n` are so; one of which it is in doubt may count half, and rows in clusters for fewer."""

    hits: float
    n: float

    @property
    def share(self) -> float:
        """Hits by n."""
        return self.hits / self.n

    def padded(self, by: float) -> tuple[float, float]:
        """The share and its binomial variance with `by` pseudo-rows, half of them hits."""
        share = (self.hits + by / 2) / (self.n + by)
        return share, share * (1 - share) / (self.n + by)


def prevalence(flagged: Count, sensitivity: Count, specificity: Count, level: float = 0.95) -> Estimate:
    """The share that truly is so, of rows a judge `flagged`, by Rogan and Gladen (1978), within [0, 1].

    (flagged + specificity - 1) / (sensitivity + specificity - 1), where `sensitivity` counts the judge's
    flags among calibration rows that are so, and `specificity` its silence among those that are not: rows
    of their own, like those that were judged. The interval is Lang and Reiczigel's (2014,
    doi:10.1016/j.prevetmed.2013.09.015): z^2 pseudo-rows in what was judged, 2 in each calibration, and a
    shift by 2 z^2 (p Var(sensitivity) - (1 - p) Var(specificity)). DataError for counts that do not fit,
    and for a judge that flags what is so no more often than what is not.
    """
    for name, count in (("flagged", flagged), ("sensitivity", sensitivity), ("specificity", specificity)):
        if count.n < 1 or not 0 <= count.hits <= count.n:
            raise DataError(
                f"prevalence: {name} has {count.hits} of {count.n}; both are counts, and n is at least 1"
            )
    z = float(ndtri((1 + level) / 2))
    apparent, apparent_variance = flagged.padded(z**2)
    true, true_variance = sensitivity.padded(2)
    silent, silent_variance = specificity.padded(2)
    informed, scale = sensitivity.share + specificity.share - 1, true + silent - 1
    if min(informed, scale) <= 0:
        raise DataError(
            "prevalence: the judge flags what is so no more often than what is not; use another judge"
        )
    share = (apparent + silent - 1) / scale
    centre = share + 2 * z**2 * (share * true_variance - (1 - share) * silent_variance)
    spread = apparent_variance + share**2 * true_variance + (1 - share) ** 2 * silent_variance
    half = z * sqrt(spread) / scale
    value = (flagged.share + specificity.share - 1) / informed
    value, low, high = (min(max(x, 0.0), 1.0) for x in (value, centre - half, centre + half))
    return Estimate(value, low, high, round(flagged.n))
