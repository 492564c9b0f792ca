"""How often somebody names the answer they find worse: a slip, where differing from others is none."""

import numpy as np
from scipy.special import chdtri, xlogy

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate

_STEPS = 5_000
"""Of a grid from 0 to 1/2: a share is told to four digits."""


def lapse_rate(right: int, wrong: int, kept: int, changed: int, level: float = 0.95) -> Estimate:
    """The share e of judgements that are lapses, the likeliest one with its profile likelihood interval.

    Of pairs whose answer is known a share e is judged wrong; of pairs that one person judges twice a share
    2 e (1 - e) changes, one of both judgements being a lapse. Who finds two answers alike changes too, so e
    is rather too large than too small. DataError where nothing was judged in either way, or a count is
    negative.
    """
    counts = (right, wrong, kept, changed)
    if min(counts) < 0 or sum(counts) == 0:
        raise DataError(f"lapses: counts of {counts}; have known pairs judged, or pairs judged again")
    rates = np.linspace(0, 0.5, _STEPS + 1)
    changes = 2 * rates * (1 - rates)
    fit = xlogy(wrong, rates) + xlogy(right, 1 - rates) + xlogy(changed, changes) + xlogy(kept, 1 - changes)
    inside = rates[2 * (fit.max() - fit) <= chdtri(1, 1 - level)]
    return Estimate(float(rates[fit.argmax()]), float(inside.min()), float(inside.max()), sum(counts))
