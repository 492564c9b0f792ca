"""How good a reward model is on comparisons it was not trained on, beside what length alone would say."""

from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

import numpy as np

from gnomon.data.splits import cluster, opening
from gnomon.errors import DataError
from gnomon.models.reward_model import Score, Scorer
from gnomon.records import Comparison, Message
from gnomon.stats.calibration import calibration_interval, expected_calibration_error, reliability
from gnomon.stats.proportion import wilson_clustered
from gnomon.stats.units import Floats

MATCHED = 0.1
"""Answers whose words differ by no more than this share of the longer one's are equally long."""


def scored_report(
    scorer: Scorer, comparisons: Sequence[Comparison], first: Sequence[Score], second: Sequence[Score]
) -> dict[str, Any]:
    """`reward_report` by the model's own probabilities, and what its members and its variances tell.

    `uncertainty` is the members' standard deviation, on average and where the model is right and wrong.
    `explained` is r^2 of arXiv:2312.08358: the share of all variance that is between answers' scores. The
    rest is of single scores: what those who judge do not agree on.
    """
    chances = [scorer.chance(*both) for both in zip(first, second, strict=True)]
    values = [[score.value for score in scores] for scores in (first, second)]
    report = reward_report(comparisons, values[0], values[1], chances)
    if sum(model.heads for model in scorer.models) > 1:
        report["uncertainty"] = _uncertainty(comparisons, first, second)
    if scorer.model.variance:
        between = float(np.var([score.value for score in (*first, *second)]))
        within = fmean(score.variance for score in (*first, *second))
        report["explained"] = between / (between + within)
    return report


def reward_report(
    comparisons: Sequence[Comparison],
    first: Sequence[float],
    second: Sequence[float],
    chances: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Accuracy with its interval, overall, by reason and at equal length; baselines; calibration; length.

    `chances` are the probabilities that the first is better, the logistic function of the margin where none
    are given. Comparisons whose label is a tie have no better answer and are left out; where scores are equal
    a model, and where answers are equally long a baseline, is half right. Comparisons of near-duplicate
    prompts are one cluster of the intervals.
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
    right = _right(margins, prefers_first)
    lengths = np.array([[_words(row.first), _words(row.second)] for row in comparisons])
    longer = np.sign(lengths[:, 0] - lengths[:, 1]) * np.where(prefers_first, 1, -1)
    stated = 1 / (1 + np.exp(-margins)) if chances is None else np.array([chances[i] for i in decided])
    both = [*stated, *(1 - stated)], [*prefers_first.tolist(), *(~prefers_first).tolist()]
    reasons = np.array([row.label.reason if row.label else "" for row in comparisons])
    clusters = np.array(cluster([opening(row.prompt) for row in comparisons]))
    matched = np.abs(lengths[:, 0] - lengths[:, 1]) <= MATCHED * lengths.max(axis=1)
    report = {
        "accuracy": _share(right, clusters),
        "longer_wins": _share((longer + 1) / 2, clusters),
        "shorter_wins": _share((1 - longer) / 2, clusters),
        "by_reason": {
            str(reason): _share(right[reasons == reason], clusters[reasons == reason])
            for reason in sorted(set(reasons.tolist()))
        },
        "length_correlation": _correlation(np.concatenate([first, second]), lengths.T.flatten()),
        "ece": expected_calibration_error(*both),
        "ece_interval": _interval(both, clusters),
        "reliability": [asdict(point) for point in reliability(*both)],
    }
    return report | ({"matched": _share(right[matched], clusters[matched])} if matched.any() else {})


def reward_rows(
    scorer: Scorer, comparisons: Sequence[Comparison], first: Sequence[Score], second: Sequence[Score]
) -> list[dict[str, Any]]:
    """A row for each comparison: what was scored and how, what the label says, and whether the model agrees;
    `right` is None where the label is a tie."""
    names = cluster([opening(row.prompt) for row in comparisons])
    rows = []
    for row, own, one, other in zip(comparisons, names, first, second, strict=True):
        label = row.label
        assert label is not None
        agrees = _right(np.array([one.value - other.value]), np.array([label.preference > 0.5]))
        rows.append(
            {
                "id": row.id,
                "cluster": own,
                "prompt": row.prompt.text,
                "first": _scored(row.first, one),
                "second": _scored(row.second, other),
                "chance": scorer.chance(one, other),
                "preference": label.preference,
                "source": label.source,
                "reason": label.reason,
                "right": None if row.is_tie else float(agrees[0]),
            }
        )
    return rows


def _scored(answer: Sequence[Message], score: Score) -> dict[str, Any]:
    return {
        "text": "\n\n".join(message.content for message in answer),
        "words": _words(answer),
        "score": score.value,
        "uncertainty": score.uncertainty,
        "variance": score.variance,
    }


def _right(margins: Any, prefers_first: Any) -> Floats:
    """1 where the better answer has the higher score, 0.5 where both have the same."""
    right: Floats = 0.5 + 0.5 * np.sign(margins) * np.where(prefers_first, 1, -1)
    return right


def _uncertainty(
    comparisons: Sequence[Comparison], first: Sequence[Score], second: Sequence[Score]
) -> dict[str, float | None]:
    """Of the scores of both answers; None where there is no pair of a kind."""
    kinds: dict[str, list[float]] = {"mean": [], "right": [], "wrong": []}
    for row, one, other in zip(comparisons, first, second, strict=True):
        own = (one.uncertainty + other.uncertainty) / 2
        kinds["mean"].append(own)
        if not row.is_tie and one.value != other.value:
            agrees = (one.value > other.value) == (row.label is not None and row.label.preference > 0.5)
            kinds["right" if agrees else "wrong"].append(own)
    return {kind: fmean(values) if values else None for kind, values in kinds.items()}


def _share(outcomes: Any, clusters: Any) -> dict[str, float | int]:
    return wilson_clustered(outcomes, clusters.tolist()).to_json()


def _interval(both: tuple[Sequence[float], Sequence[bool]], clusters: Any) -> dict[str, float | int] | None:
    """Of the calibration error over both orders of each pair; None where all are of one cluster."""
    names = clusters.tolist()
    return calibration_interval(*both, names * 2).to_json() if len(set(names)) > 1 else None


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
