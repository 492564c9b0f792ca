"""Whether people put several answers in the same order."""

from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from gnomon.labelling.quality.ballots import Counts
from gnomon.labelling.quality.figures import figure, missing
from gnomon.stats.bootstrap import mean_interval


def rankings(counts: Counts) -> dict[str, Any]:
    """How many were given, of how many items, and `tau`: Kendall's tau-b between two people's, on average.

    Its interval resamples items. A ranking in which all are equal has no order to compare.
    """
    values, items = [], []
    for item, given in counts.rankings.items():
        for (_, one), (_, other) in combinations(given, 2):
            tau = float(kendalltau(one, other).statistic)
            if not np.isnan(tau):
                values.append(tau)
                items.append(item)
    return {
        "given": sum(len(given) for given in counts.rankings.values()),
        "items": len(counts.rankings),
        "tau": figure(lambda: mean_interval(values, items))
        if values
        else missing("nobody ranked after another"),
    }
