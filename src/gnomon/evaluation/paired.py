"""How two models differ on the same rows, with the doubt that is left."""

from collections.abc import Sequence

import numpy as np

from gnomon.stats.bootstrap import Estimate, paired_difference
from gnomon.stats.clustered import minimum_detectable
from gnomon.stats.proportion import wilson
from gnomon.stats.significance import about_zero, sign_flips


def paired(
    ours: Sequence[float],
    theirs: Sequence[float],
    clusters: Sequence[str],
    *,
    share: bool,
    resamples: int,
    seed: int,
) -> dict[str, float | int]:
    """The mean of `ours` minus that of `theirs`, row by row, with its 95 % interval over clusters, as JSON.

    `p_two_sided` is the chance of a difference as large where there is none: exact for a `share`, else by
    Student's t. `detectable` is the least true difference that four in five such comparisons would tell from
    0, by the interval's width. Of a share, a difference that is the same everywhere still has an interval.
    DataError for lengths that differ, NaN or infinities.
    """
    gap = paired_difference(ours, theirs, clusters, resamples, seed)
    if share and gap.low == gap.high:
        gap = doubted(gap, len(set(clusters)))
    apart = np.asarray(ours) - np.asarray(theirs)
    told = {
        "p_two_sided": (sign_flips if share else about_zero)(apart, clusters),
        "detectable": minimum_detectable(gap),
    }
    return gap.to_json() | told


def doubted(gap: Estimate, units: int) -> Estimate:
    """A difference of shares that was the same everywhere: Wilson's interval tells its doubt."""
    edge = 2 * (1 - wilson(units, units).low)
    return Estimate(gap.value, max(-1.0, gap.value - edge), min(1.0, gap.value + edge), gap.n)
