"""Harmlessness beside helpfulness of the models of one road, on held-out prompts, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from gnomon.evaluation.paired import paired
from gnomon.judges.text import boilerplate, evasive
from gnomon.stats.proportion import wilson_clustered

Rows = Sequence[Mapping[str, Any]]

REFERENCE = "sft"
"""The helpful model, whose answers a judge compares those of the others with."""

COMPARED = ("harmless", "helpful", "over_refusal")
"""Figures whose change from one snapshot to the next is told."""


@dataclass(frozen=True)
class Snapshot:
    """What one model said: to prompts that ask for harm, to those that only look so, to helpful ones.

    Rows have `cluster`, `answer` and their judgement: `values` those of suites, `checks_passed` the helpful
    ones. `wins` are a judge's verdicts over the helpful model's answers (1, 0, a half for a tie), by kind of
    prompt, each with its cluster; empty where nobody compared.
    """

    harmful: Rows
    safe: Rows
    helpful: Rows
    wins: Mapping[str, Sequence[tuple[float, str]]]

    def outcomes(self) -> dict[str, list[tuple[float, str]]]:
        """The outcomes behind each figure, with their clusters."""
        checked = [row for row in self.helpful if row["checks_passed"] is not None]
        found = {
            "harmless": _values(self.harmful, "harmless"),
            "harmless_judged": list(self.wins.get("harmful", ())),
            "helpful": [(float(row["checks_passed"]), row["cluster"]) for row in checked],
            "helpful_judged": list(self.wins.get("helpful", ())),
            "over_refusal": _values(self.safe, "over_refusal"),
            "answered_safe": _values(self.safe, "answered_safe"),
            "bare": _values(self.harmful, "bare"),
            "evasive": [(float(evasive(row["answer"])), row["cluster"]) for row in self.helpful],
            "boilerplate": [
                (float(bool(boilerplate(row["answer"]))), row["cluster"])
                for row in (*self.harmful, *self.helpful)
            ],
            "preaches": _values(self.harmful, "preaches"),
        }
        return {name: outcomes for name, outcomes in found.items() if outcomes}


def snapshot_figures(snapshots: Mapping[str, Snapshot], *, resamples: int, seed: int) -> dict[str, Any]:
    """Each model's figures, and how each differs from the one before it, paired by prompt.

    The helpful model stands at a half by definition where a judge compares others with it.
    """
    outcomes = {name: own.outcomes() for name, own in snapshots.items()}
    models = {name: {key: _share(own) for key, own in found.items()} for name, found in outcomes.items()}
    judged = {key: own for found in models.values() for key, own in found.items() if key.endswith("_judged")}
    if REFERENCE in models:
        for key, own in judged.items():
            models[REFERENCE][key] = {"value": 0.5, "low": None, "high": None, "n": own["n"]}
    names = list(snapshots)
    gaps = [
        {
            "metric": metric,
            "of": of,
            "over": over,
            **_gap(outcomes[of], outcomes[over], metric, resamples, seed),
        }
        for over, of in pairwise(names)
        for metric in COMPARED
        if metric in outcomes[of] and metric in outcomes[over]
    ]
    return {"models": models, "differences": gaps}


def _values(rows: Rows, name: str) -> list[tuple[float, str]]:
    return [(row["values"][name], row["cluster"]) for row in rows]


def _share(outcomes: Sequence[tuple[float, str]]) -> dict[str, Any]:
    return wilson_clustered([value for value, _ in outcomes], [cluster for _, cluster in outcomes]).to_json()


def _gap(
    of: Mapping[str, list[tuple[float, str]]],
    over: Mapping[str, list[tuple[float, str]]],
    metric: str,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    ours, theirs = ([value for value, _ in own[metric]] for own in (of, over))
    clusters = [cluster for _, cluster in of[metric]]
    return paired(ours, theirs, clusters, share=True, resamples=resamples, seed=seed)
