"""What judged rows amount to: each model's metrics in each suite, and how models differ, with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from gnomon.errors import DataError
from gnomon.evaluation.examine import Row, Suite
from gnomon.evaluation.paired import paired
from gnomon.stats.bootstrap import mean_interval
from gnomon.stats.calibration import calibration_interval
from gnomon.stats.proportion import wilson_clustered


def figures(
    suite: Suite, rows: Mapping[str, Sequence[Row]], *, resamples: int = 10_000, seed: int = 0
) -> dict[str, Any]:
    """`models`: each metric's estimate by model; `differences`: of every later model over the first, paired.

    Whole clusters are resampled. DataError where models were not asked the same.
    """
    names = list(rows)
    first = [row["id"] for row in rows[names[0]]]
    for name in names[1:]:
        if [row["id"] for row in rows[name]] != first:
            raise DataError(
                f"{name} and {names[0]} were asked other tasks of {suite.name}; examine them together"
            )
    models = {name: _estimates(suite, own, resamples, seed) for name, own in rows.items()}
    gaps = [
        {"metric": metric, "of": name, "over": names[0], **gap}
        for name in names[1:]
        for metric, gap in _gaps(suite, rows[name], rows[names[0]], resamples, seed).items()
    ]
    return {"models": models, "differences": gaps}


def values_of(rows: Sequence[Row], metric: str) -> tuple[list[float], list[str], list[str]]:
    """A metric's values, and the cluster and the row that each is of."""
    values: list[float] = []
    clusters: list[str] = []
    ids: list[str] = []
    for row in rows:
        own = row["values"].get(metric, [])
        each = own if isinstance(own, list) else [own]
        values += map(float, each)
        clusters += [row["cluster"]] * len(each)
        ids += [row["id"]] * len(each)
    return values, clusters, ids


def metrics(rows: Sequence[Row]) -> list[str]:
    """Every metric that a row has, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row["values"]))


def _estimates(
    suite: Suite, rows: Sequence[Row], resamples: int, seed: int
) -> dict[str, dict[str, float | int]]:
    found: dict[str, dict[str, float | int]] = {}
    for metric in metrics(rows):
        values, clusters, _ = values_of(rows, metric)
        if not values:
            continue
        if metric in suite.shares:
            found[metric] = wilson_clustered(values, clusters).to_json()
        else:
            found[metric] = mean_interval(values, clusters, resamples, seed).to_json()
    if suite.calibrated and len({row["cluster"] for row in rows}) > 1:
        sure, clusters, _ = values_of(rows, "confidence")
        right = [value == 1 for value in values_of(rows, "accuracy")[0]]
        found["ece"] = calibration_interval(sure, right, clusters).to_json()
    return found


def _gaps(
    suite: Suite, rows: Sequence[Row], others: Sequence[Row], resamples: int, seed: int
) -> dict[str, dict[str, float | int]]:
    found: dict[str, dict[str, float | int]] = {}
    for metric in metrics(rows):
        ours, clusters, ids = values_of(rows, metric)
        theirs, _, other_ids = values_of(others, metric)
        if ours and ids == other_ids:  # a metric that looks at different rows of both cannot be paired
            share = metric in suite.shares
            found[metric] = paired(ours, theirs, clusters, share=share, resamples=resamples, seed=seed)
    return found
