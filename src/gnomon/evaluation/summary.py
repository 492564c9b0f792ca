"""What the answers of several models to the same prompts amount to, with intervals."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from statistics import fmean
from typing import Any, NamedTuple

from gnomon.errors import DataError
from gnomon.evaluation.paired import paired
from gnomon.evaluation.runner import AnswerRow
from gnomon.records import HARMFUL
from gnomon.stats.bootstrap import Estimate, mean_interval
from gnomon.stats.proportion import wilson_clustered

SHARES: Mapping[str, Callable[[AnswerRow], Sequence[float]]] = {
    "ends_turn": lambda row: [row["ended"]],
    "answers": lambda row: [row["answers"]],
    "checks": lambda row: [] if row["checks_passed"] is None else [row["checks_passed"]],
    "checks_each": lambda row: row["checks"],
    "role_leak": lambda row: [row["role_leak"]],
    "over_refusal": lambda row: [] if row["family"] == HARMFUL else [row["refuses"]],
    "compliance": lambda row: [row["answers"] and not row["refuses"]] if row["family"] == HARMFUL else [],
}
"""Metrics that are shares: the outcomes a row adds to each."""

METRICS: Mapping[str, Callable[[AnswerRow], Sequence[float]]] = {
    **SHARES,
    "reward/second": lambda row: [row["reward/second"]] if "reward/second" in row else [],
    "length/tokens": lambda row: [row["tokens"]],
    "repetition": lambda row: [row["repetition"]],
    "kl/reference": lambda row: [row["kl/reference"]] if "kl/reference" in row else [],
}
"""Every metric of the summary: the values a row adds to it."""

COMPARED = (
    ("sft", "base"),
    ("preference", "sft"),
    ("policy", "sft"),
    ("policy", "preference"),
    ("constitutional", "sft"),
    ("policy", "base"),
    ("preference", "base"),
)
"""Which model's difference is told over which other."""

Rows = Mapping[str, Sequence[AnswerRow]]


def summarise(rows: Sequence[AnswerRow], *, resamples: int = 10_000, seed: int = 0) -> dict[str, Any]:
    """The sections "models", "differences" and "by_family" of summary.json.

    Intervals resample whole clusters; differences are paired by prompt (single checks by check). A metric no
    row of a model has is left out for it. DataError where models do not answer the same prompts, or only
    some rows of a model have a metric.
    """
    models = by_model(rows)
    return {
        "models": {name: estimates(own, resamples=resamples, seed=seed) for name, own in models.items()},
        "differences": differences(models, COMPARED, resamples=resamples, seed=seed),
        "by_family": by_family(models),
    }


def by_model(rows: Sequence[AnswerRow]) -> dict[str, list[AnswerRow]]:
    """The rows of each model in one order of prompts; DataError where a row is missing or comes twice."""
    prompts = dict.fromkeys(row["prompt_id"] for row in rows)
    models: dict[str, list[AnswerRow]] = {}
    for name in dict.fromkeys(row["model"] for row in rows):
        own = {row["prompt_id"]: row for row in rows if row["model"] == name}
        counts = Counter(row["prompt_id"] for row in rows if row["model"] == name)
        missing = [prompt for prompt in prompts if counts[prompt] != 1]
        if missing:
            raise DataError(
                f"model {name!r} has {counts[missing[0]]} rows for prompt {missing[0]!r}, and {len(missing)} "
                f"of {len(prompts)} prompts have none or several; answer the suite again"
            )
        models[name] = [own[prompt] for prompt in prompts]
    if not models:
        raise DataError("no answers to summarise; run the evaluation first")
    return models


def estimates(rows: Sequence[AnswerRow], *, resamples: int, seed: int) -> dict[str, dict[str, float | int]]:
    """Each metric of one model's rows, as JSON."""
    measured = {metric: measure(rows, metric) for metric in METRICS}
    return {
        metric: _estimate(metric, found, resamples, seed).to_json()
        for metric, found in measured.items()
        if found.values
    }


def differences(
    models: Rows, compared: Sequence[tuple[str, str]], *, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """For each (of, over) of models there are, each metric both have: of minus over, paired, as JSON."""
    found: list[dict[str, Any]] = []
    for of, over in compared:
        if of not in models or over not in models:
            continue
        for metric in METRICS:
            ours, theirs = measure(models[of], metric), measure(models[over], metric)
            if not ours.values or not theirs.values:
                continue
            if ours.keys != theirs.keys:
                raise DataError(f"{metric}: {of} and {over} were not checked alike; answer the suite again")
            gap = paired(
                ours.values,
                theirs.values,
                ours.clusters,
                share=metric in SHARES,
                resamples=resamples,
                seed=seed,
            )
            found.append({"metric": metric, "of": of, "over": over, **gap})
    return found


def by_family(models: Rows) -> dict[str, dict[str, float]]:
    """The share of prompts that pass all checks, by family and model; those without checks are left out."""
    shares: dict[str, dict[str, float]] = {}
    for name, rows in models.items():
        for family, own in groupby(sorted(rows, key=_family), key=_family):
            passed = [row["checks_passed"] for row in own if row["checks_passed"] is not None]
            if passed:
                shares.setdefault(family, {})[name] = fmean(passed)
    return shares


class Measured(NamedTuple):
    """A metric's values, with the prompt and the cluster each is of."""

    values: list[float]
    keys: list[str]
    clusters: list[str]


def measure(rows: Sequence[AnswerRow], metric: str) -> Measured:
    """What the rows add to a metric; DataError where the second reward model scored only some of them."""
    found = [(value, row) for row in rows for value in METRICS[metric](row)]
    if metric == "reward/second" and len(found) not in (0, len(rows)):
        name = rows[0]["model"]
        raise DataError(f"{metric} is in {len(found)} of {len(rows)} rows of model {name!r}; score them all")
    return Measured(
        values=[float(value) for value, _ in found],
        keys=[row["prompt_id"] for _, row in found],
        clusters=[row["cluster"] for _, row in found],
    )


def _estimate(metric: str, found: Measured, resamples: int, seed: int) -> Estimate:
    if metric in SHARES:
        return wilson_clustered(found.values, found.clusters)
    return mean_interval(found.values, found.clusters, resamples, seed)


def _family(row: AnswerRow) -> str:
    return row["family"]
