"""What a constitution's principles did: how each judges, which pull the same way, which the labels reveal.

Rows are those of `constitution.feedback`: a comparison with what each principle said of it.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import log
from statistics import fmean
from typing import Any

import numpy as np

from gnomon.constitution.principles import Constitution
from gnomon.errors import DataError
from gnomon.judges.judgement import TIE, flips, is_tie
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.panel import correlation, influence, revealed
from gnomon.stats.proportion import wilson_clustered
from gnomon.stats.units import Floats

Row = Mapping[str, Any]
Clusters = Sequence[str]

FEW = 8
"""Comparisons below which two principles are not compared, and preferences reveal nothing."""

BY_PLACE = 0.75
"""A share of choices for what was shown first, above which a labeller is said to choose by place."""

FLOOR = 1e-6
"""Probabilities nearer to 0 or 1 are taken for this near: their log-odds stay finite."""


def audit(
    rows: Sequence[Row], clusters: Clusters, constitution: Constitution | None = None, *, named: bool = False
) -> dict[str, Any]:
    """All of it as plain JSON values; `constitution` tells how much weight each principle was given.

    Weights of another constitution than the rows were labelled under are warned of, and shown only where it
    was `named` for that. DataError where there are no rows.
    """
    if not rows:
        raise DataError("an audit of principles needs labelled comparisons; there are none")
    names = sorted({opinion["principle"] for row in rows for opinion in row["opinions"]})
    odds = log_odds(rows, names)
    labels = [row["preference"] for row in rows]
    known = np.array([np.nan if row.get("known") is None else row["known"] for row in rows], dtype=float)
    moved, reveals = influence(odds), _revealed(odds, known, clusters)
    digests = sorted({row["constitution"] for row in rows})
    other = constitution is not None and digests != [constitution.digest]
    weights = None if other and not named else constitution
    principles: dict[str, dict[str, Any]] = {
        name: {
            "asked": int(np.isfinite(odds[:, i]).sum()),
            "stated": stated(name, weights),
            "agrees": _share(odds[:, i], np.array(labels, dtype=float), clusters),
            "flips": _flips(rows, name, clusters),
            "known": _share(odds[:, i], known, clusters),
            "turned": float(moved.turned[i]),
            "moved": float(moved.moved[i]),
            "beside_others": int(moved.rows[i]),
            "revealed": None if reveals is None else reveals[i].to_json(),
        }
        for i, name in enumerate(names)
    }
    pairs = _correlations(odds, names, clusters)
    report = {
        "comparisons": len(rows),
        "known": int(np.isfinite(known).sum()),
        "labellers": sorted({f"{row['role']} {row['labeller']}" for row in rows}),
        "constitutions": digests,
        "shown_first": _shown_first(rows, clusters),
        "flips": _flips(rows, None, clusters),
        "principles": principles,
        "correlations": pairs,
        "contradictions": [pair for pair in pairs if pair["value"] < 0 and pair["high"] < 0],
        "against": [name for name, own in principles.items() if own["known"] and own["known"]["high"] < 0.5],
    }
    told = [_of_another(digests, constitution, named=named)] if constitution and other else []
    return report | {"warnings": told + _warnings(report)}


def log_odds(rows: Sequence[Row], names: Sequence[str]) -> Floats:
    """Of the first answer, both orders averaged, [rows, principles]; 0 for a tie, NaN if not asked."""
    found = np.full((len(rows), len(names)), np.nan)
    for i, row in enumerate(rows):
        for opinion in row["opinions"]:
            orders = [p for p in (opinion["first_order"], opinion["second_order"]) if p is not None]
            if orders:
                p = min(max(fmean(orders), FLOOR), 1 - FLOOR)
                told = 0.0 if is_tie(p) else log(p / (1 - p))
                found[i, names.index(opinion["principle"])] = told
    return found


def stated(name: str, constitution: Constitution | None) -> float | None:
    """The share of the weight that a principle has among those that compare; None where it is not known."""
    if constitution is None:
        return None
    weights = {p.id: p.weight for p in constitution.serving("comparison")}
    return weights[name] / sum(weights.values()) if name in weights else None


def _share(odds: Floats, truth: Floats, clusters: Clusters) -> dict[str, Any] | None:
    """How often a principle prefers what the truth prefers; a tie of it is half right."""
    judged = np.flatnonzero(np.isfinite(odds) & np.isfinite(truth) & (np.abs(truth - 0.5) > TIE)).tolist()
    if not judged:
        return None
    right = [0.5 if odds[i] == 0 else float((odds[i] > 0) == (truth[i] > 0.5)) for i in judged]
    return wilson_clustered(right, [clusters[int(i)] for i in judged]).to_json()


def _opinions(rows: Sequence[Row], clusters: Clusters, name: str | None) -> list[tuple[Row, str]]:
    return [
        (opinion, cluster)
        for row, cluster in zip(rows, clusters, strict=True)
        for opinion in row["opinions"]
        if name is None or opinion["principle"] == name
    ]


def _flips(rows: Sequence[Row], name: str | None, clusters: Clusters) -> dict[str, Any] | None:
    """How often one principle, or any, says something else when the answers swap places."""
    both = [
        (float(flips(one["first_order"], one["second_order"])), cluster)
        for one, cluster in _opinions(rows, clusters, name)
        if one["first_order"] is not None and one["second_order"] is not None
    ]
    return wilson_clustered([f for f, _ in both], [c for _, c in both]).to_json() if both else None


def _shown_first(rows: Sequence[Row], clusters: Clusters) -> dict[str, Any] | None:
    """The share of choices for the answer that was shown first: a half where place does not matter.

    A reading that is a tie chooses neither, and None is what no choices tell.
    """
    chosen = [
        (float((p > 0.5) == (order == "first_order")), cluster)
        for one, cluster in _opinions(rows, clusters, None)
        for order in ("first_order", "second_order")
        if (p := one[order]) is not None and not is_tie(p)
    ]
    return wilson_clustered([f for f, _ in chosen], [c for _, c in chosen]).to_json() if chosen else None


def _revealed(odds: Floats, known: Floats, clusters: Clusters) -> list[Estimate] | None:
    """Each principle's pull on the known preferences; None where there are too few."""
    rows = np.flatnonzero(np.isfinite(known) & np.isfinite(odds).any(axis=1)).tolist()
    if len(rows) < FEW:
        return None
    return revealed(odds[rows], known[rows], [clusters[int(i)] for i in rows])


def _correlations(odds: Floats, names: Sequence[str], clusters: Clusters) -> list[dict[str, Any]]:
    """Of every two principles that were asked about enough of the same comparisons."""
    found = []
    for i, j in combinations(range(len(names)), 2):
        if np.isfinite(odds[:, [i, j]]).all(axis=1).sum() < FEW:
            continue
        try:
            estimate = correlation(odds[:, i], odds[:, j], clusters)
        except DataError:  # one of them never says anything, or one cluster has all
            continue
        found.append({"first": names[i], "second": names[j], **estimate.to_json()})
    return found


def _of_another(digests: Sequence[str], constitution: Constitution, *, named: bool) -> str:
    shown = (
        "the weights shown are not those that principles were drawn by"
        if named
        else "its weights are not shown; name the file as it was then by --constitution"
    )
    return (
        f"the labels were made under a constitution of digest {', '.join(digests)}, and that of "
        f"{constitution.name} is {constitution.digest}: {shown}"
    )


def _warnings(report: Mapping[str, Any]) -> list[str]:
    told: list[str] = []
    first = report["shown_first"]
    if first and first["low"] > BY_PLACE:
        told.append(
            f"the labeller chooses what it is shown first in {first['value']:.0%} of its readings that are "
            "no ties: its labels are of places, not of answers"
        )
    told += [
        f"{pair['first']} and {pair['second']} pull against each other (correlation {pair['value']:.2f}, "
        f"95 % interval {pair['low']:.2f} to {pair['high']:.2f}): reword one, or weigh them on purpose"
        for pair in report["contradictions"]
    ]
    shares = {name: report["principles"][name]["known"] for name in report["against"]}
    return told + [
        f"{name} goes against the known answers: right on {own['value']:.0%}, at most {own['high']:.0%}"
        for name, own in shares.items()
    ]
