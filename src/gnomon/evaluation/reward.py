"""How good a reward model is on comparisons it was not trained on, beside what length alone would say."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gnomon.data.splits import cluster, opening
from gnomon.errors import DataError
from gnomon.records import Comparison, Message
from gnomon.stats.bootstrap import Estimate, mean_interval
from gnomon.stats.calibration import expected_calibration_error
from gnomon.stats.proportion import wilson


def reward_report(
    comparisons: Sequence[Comparison], first: Sequence[float], second: Sequence[float]
) -> dict[str, Any]:
    """Accuracy with its interval, overall and by reason; baselines; calibration; correlation with length.

    Comparisons whose label is a tie have no better answer and are left out; where answers are equally long, a
    baseline is half right. Comparisons of near-duplicate prompts are one cluster of the intervals.
    """
    if not len(comparisons) == len(first) == len(second):
        raise DataError(
            f"{len(comparisons)} comparisons, {len(first)} and {len(second)} scores; need one each"
        )
    decided = [i for i, row in enumerate(comparisons) if not row.is_tie]
    if not decided:
        raise DataError(
            "no comparison to measure a reward model on: none is held out, or all labels are ties"
        )
    comparisons = [comparisons[i] for i in decided]
    first, second = ([scores[i] for i in decided] for scores in (first, second))
    margins = np.array(first) - np.array(second)
    prefers_first = np.array([row.label is not None and row.label.preference > 0.5 for row in comparisons])
    right = (margins > 0) == prefers_first
    lengths = np.array([[_words(row.first), _words(row.second)] for row in comparisons])
    longer = np.sign(lengths[:, 0] - lengths[:, 1]) * np.where(prefers_first, 1, -1)
    probabilities = 1 / (1 + np.exp(-margins))
    reasons = np.array([row.label.reason if row.label else "" for row in comparisons])
    clusters = np.array(cluster([opening(row.prompt) for row in comparisons]))
    return {
        "accuracy": _share(right, clusters),
        "longer_wins": _share((longer + 1) / 2, clusters),
        "shorter_wins": _share((1 - longer) / 2, clusters),
        "by_reason": {
            str(reason): _share(right[reasons == reason], clusters[reasons == reason])
            for reason in sorted(set(reasons.tolist()))
        },
        "length_correlation": _correlation(np.concatenate([first, second]), lengths.T.flatten()),
        "ece": expected_calibration_error(
            [*probabilities, *(1 - probabilities)], [*prefers_first.tolist(), *(~prefers_first).tolist()]
        ),
    }


def _share(outcomes: Any, clusters: Any) -> dict[str, float | int]:
    """The cluster bootstrap, or Wilson's interval over clusters where that sees no doubt or has no need."""
    n, units, share = len(outcomes), len(set(clusters.tolist())), float(np.mean(outcomes))
    if 1 < units < n and len(set(outcomes.tolist())) > 1:
        return mean_interval(outcomes.astype(float), clusters.tolist()).to_json()
    counted = wilson(int(share * units), units)
    return Estimate(share, counted.low, counted.high, n).to_json()


def error_correlation(
    comparisons: Sequence[Comparison],
    one: tuple[Sequence[float], Sequence[float]],
    other: tuple[Sequence[float], Sequence[float]],
) -> float | None:
    """Correlation of two models' margins in the label's favour: near 1, one cannot watch the other."""
    decided = np.array([not row.is_tie for row in comparisons], dtype=bool)
    sign = np.array([1.0 if row.label and row.label.preference > 0.5 else -1.0 for row in comparisons])
    margins = [(sign * (np.array(a) - np.array(b)))[decided] for a, b in (one, other)]
    return _correlation(*margins)


def _correlation(x: Any, y: Any) -> float | None:
    if len(x) < 2 or np.std(x) == 0 or np.std(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _words(answer: Sequence[Message]) -> int:
    return sum(len(message.content.split()) for message in answer)
