"""What several seeds of the same training come to, with intervals over seeds and prompts."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gnomon.errors import DataError
from gnomon.evaluation.paired import doubted
from gnomon.evaluation.summary import COMPARED, METRICS, SHARES, Rows, measure
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.crossed import mean_crossed
from gnomon.stats.proportion import wilson_clustered
from gnomon.stats.units import Floats


def models_over_seeds(seeds: Sequence[Rows]) -> dict[str, dict[str, Any]]:
    """Each metric of each model that all `seeds` have, whose rows `by_model` has put in order, as JSON; a
    metric that one cluster of prompts has alone shows no spread, and is left out."""
    names = [name for name in seeds[0] if all(name in models for models in seeds)]
    return {
        name: {
            metric: _told(values, _level(metric, values, clusters))
            for metric, values, _, clusters in _metrics(seeds, name)
        }
        for name in names
    }


def differences_over_seeds(
    seeds: Sequence[Rows],
    others: Sequence[Rows] | None = None,
    compared: Sequence[tuple[str, str]] = COMPARED,
) -> list[dict[str, Any]]:
    """For each (of, over) of models there are, each metric both have: of minus over, prompt by prompt, as
    JSON; `over` is taken from the `others`, seed by seed, where they are given.

    DataError where seeds have other prompts, or other checks, than one another.
    """
    theirs = seeds if others is None else others
    found = []
    for of, over in compared:
        if not all(of in mine and over in its for mine, its in zip(seeds, theirs, strict=True)):
            continue
        right = {metric: (other, asked) for metric, other, asked, _ in _metrics(theirs, over)}
        for metric, values, keys, clusters in _metrics(seeds, of):
            if metric not in right:
                continue
            other, asked = right[metric]
            if asked != keys:
                raise DataError(f"{metric}: {of} and {over} were not checked alike; answer the suite again")
            apart = values - other
            gap = mean_crossed(apart, clusters)
            if metric in SHARES and gap.low == gap.high:
                gap = doubted(gap, len(set(clusters)))
            found.append({"metric": metric, "of": of, "over": over, **_told(apart, gap)})
    return found


def _metrics(seeds: Sequence[Rows], model: str) -> Iterator[tuple[str, Floats, list[str], list[str]]]:
    """Each metric of a model, its values [seeds, rows], and the prompt and the cluster of each row."""
    for metric in METRICS:
        first, *others = measured = [measure(models[model], metric) for models in seeds]
        if not all(len(set(own.clusters)) > 1 for own in measured):
            continue
        if any(own.keys != first.keys for own in others):
            raise DataError(f"{metric}: seeds of {model} were not asked the same prompts; walk them again")
        yield metric, np.array([own.values for own in measured]), first.keys, first.clusters


def _level(metric: str, values: Floats, clusters: list[str]) -> Estimate:
    """The mean over seeds; of a share that is the same everywhere with Wilson's interval."""
    if metric in SHARES and np.ptp(values) == 0:
        return wilson_clustered(values[0], clusters)
    return mean_crossed(values, clusters)


def _told(values: Floats, estimate: Estimate) -> dict[str, Any]:
    """The estimate, and each seed's own mean."""
    return estimate.to_json() | {"by_seed": [round(float(own), 4) for own in values.mean(axis=1)]}
