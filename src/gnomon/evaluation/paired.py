"""How two models differ on the same rows, with the doubt that is left."""

from collections.abc import Sequence

from gnomon.stats.bootstrap import Estimate, paired_difference
from gnomon.stats.proportion import wilson


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

    Of a `share`, a difference that is the same everywhere still has an interval. DataError for lengths that
    differ, NaN or infinities.
    """
    gap = paired_difference(ours, theirs, clusters, resamples, seed)
    if share and gap.low == gap.high:
        gap = _doubted(gap, len(set(clusters)))
    return gap.to_json()


def _doubted(gap: Estimate, units: int) -> Estimate:
    """A difference that was the same everywhere: the bootstrap sees no doubt, Wilson's interval does."""
    edge = 2 * (1 - wilson(units, units).low)
    return Estimate(gap.value, max(-1.0, gap.value - edge), min(1.0, gap.value + edge), gap.n)
