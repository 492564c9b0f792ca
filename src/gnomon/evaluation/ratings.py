"""How well rewards tell answers that were judged good from those that were judged bad."""

from collections.abc import Sequence

import numpy as np

from gnomon.data.splits import cluster, opening
from gnomon.records import Rating
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.clustered import linear_interval
from gnomon.stats.units import Floats, finite


def told_apart(ratings: Sequence[Rating], rewards: Sequence[float]) -> Estimate | None:
    """The share of pairs of a desirable and an undesirable answer in which the desirable one has the higher
    reward, equal ones half: the area under the receiver operating characteristic, with its interval.

    The interval is DeLong's (Biometrics 44, 1988) by clusters of near-duplicate prompts. None where all
    ratings say the same, or are about one prompt.
    """
    good = np.array([row.desirable for row in ratings], dtype=bool)
    names = cluster([opening(row.prompt) for row in ratings])
    if good.all() or not good.any() or len(set(names)) < 2:
        return None
    values = finite(rewards, "rewards")
    wins, losses = _below(values[good], values[~good]), _below(values[~good], values[good])
    area = float(wins.mean())
    influence = np.empty(values.size)
    influence[good] = (wins - area) / good.mean()
    influence[~good] = (1 - losses - area) / (~good).mean()
    return linear_interval(area, influence, names)


def _below(values: Floats, others: Floats) -> Floats:
    """Of each value the share of the others that are below it, those that are the same by half."""
    ordered = np.sort(others)
    ranks = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    shares: Floats = ranks / (2 * others.size)
    return shares
