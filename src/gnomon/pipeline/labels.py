"""What people said of pairs, as comparisons that train: soft labels and weights, all that was said beside."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from gnomon.config import LabelSettings
from gnomon.data.checks import usable
from gnomon.data.files import BadRow
from gnomon.data.formats import OnBad
from gnomon.data.reader import Labelled
from gnomon.errors import DataError
from gnomon.pipeline.votes import SAYING, Judged, Laid, Lapses, lay_out
from gnomon.records import Comparison, Label, Source, implied_weight, to_json
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.labels import AGGREGATES, Labels
from gnomon.stats.lapses import lapse_rate
from gnomon.store import content_id

LEAST = 0.01
"""The least weight of a pair, so that no step is without any."""

DIGITS = 4
"""Of what is kept: the last ones of a fit differ between machines, and other rows train other models."""

MOST_BETWEEN = 30
"""Twos of annotators in a report."""

SILENT = "no vote says which answer is better"
BOTH_BAD = "decided: both answers are bad"


def labelled(judged: Sequence[Judged], settings: LabelSettings, on_bad_row: OnBad = "stop") -> Labelled:
    """What was said of pairs as comparisons that train; gold pairs help to judge and are no comparisons.

    DataError where no vote says which answer is better, and, with `stop`, for a pair that cannot be used.
    """
    told = [pair for pair in judged if pair.saying]
    if all(pair.gold for pair in told):
        raise DataError("no vote says yet which of two answers is better; have some pairs judged first")
    voted = _voted([pair for pair in told if not pair.ranked], settings)
    made = voted.rows | {pair.comparison.id: _implied(pair) for pair in told if pair.ranked}
    ordinary = [pair for pair in judged if not pair.gold]
    rows = _decided(ordinary, made) if settings.adjudicated == "instead" else made
    kept = tuple(_kept(pair, rows.get(pair.comparison.id)) for pair in ordinary)
    train, dropped = _usable(list(rows.values()), on_bad_row)
    dropped.update(_left_out(ordinary, rows))
    report = _report(judged, voted) | {"method": settings.method, "rows": len(train)}
    report |= {
        "adjudicated": sum(_is_decision(row) for row in train),
        "implied": sum(pair.ranked > 0 for pair in ordinary),
    }
    return Labelled(tuple(train), kept, _flips(voted.flips, rows), report, dropped, _digest(judged))


def with_lapses(found: Labelled, counted: Lapses) -> Labelled:
    """The same with the share of lapses among its labels, None where nothing tells; decisions are right."""
    told = lapse_rate(*counted) if any(counted) else None
    return replace(
        found,
        lapses=_flips(told, {row.id: row for row in found.comparisons}),
        report={**found.report, "lapses": told.to_json() if told else None},
        digest=content_id([found.digest, list(counted)]),
    )


class Voted(NamedTuple):
    """The rows that votes make, by id, what is known of who voted, and the share of flips."""

    rows: dict[str, Comparison]
    annotators: dict[str, dict[str, Any]]
    flips: Estimate | None


def _voted(told: Sequence[Judged], settings: LabelSettings) -> Voted:
    """What votes on pairs come to; nothing where there are rankings alone."""
    if not told:
        return Voted({}, {}, None)
    laid = lay_out(told)
    labels = AGGREGATES[settings.method](laid.votes, laid.pairs)
    values = zip(told, labels.preferences.tolist(), labels.weights.tolist(), strict=True)
    rows = {pair.comparison.id: _labelled(pair, *own) for pair, *own in values if not pair.gold}
    return Voted(rows, _annotators(laid, labels), labels.flips)


def _implied(pair: Judged) -> Comparison:
    """A pair of ranked answers: the share of rankings with the first above the second, ties counting half.

    Its weight is a share of a ranking's, and no model of votes looks at it: what one ranking says of each of
    its pairs is not said independently.
    """
    said = [0.5 if vote.preferred is None else 1.0 - vote.preferred for vote in pair.saying]
    row = _labelled(pair, sum(said) / len(said), implied_weight(pair.ranked))
    assert row.label is not None
    return replace(row, label=replace(row.label, ranking=row.id.rpartition("/")[0]))


def _decided(pairs: Sequence[Judged], voted: Mapping[str, Comparison]) -> dict[str, Comparison]:
    """The rows that votes make, with decisions in the place of those on their pairs; in the order of pairs.

    A pair of which somebody decided that both answers are bad is no row.
    """
    rows = {}
    for pair in pairs:
        name, decision = pair.comparison.id, pair.decision
        if decision is None:
            rows.update({name: voted[name]} if name in voted else {})
        elif decision.outcome in SAYING:
            preference = 0.5 if decision.preferred is None else 1.0 - decision.preferred
            label = Label(preference, decision.source, adjudicated=True)
            rows[name] = replace(pair.comparison, label=label)
    return rows


def _is_decision(row: Comparison) -> bool:
    return row.label is not None and row.label.adjudicated


def _left_out(pairs: Sequence[Judged], rows: Mapping[str, Comparison]) -> Counter[str]:
    """How many pairs are no row, by reason."""
    gone = [pair for pair in pairs if pair.comparison.id not in rows]
    return Counter(BOTH_BAD if pair.decision and pair.saying else SILENT for pair in gone)


def _flips(flips: Estimate | None, rows: Mapping[str, Comparison]) -> float | None:
    """The share of flips among labels of rows, decisions taken to be right; None where votes cannot tell."""
    if flips is None or not rows:
        return None
    voted = sum(not _is_decision(row) for row in rows.values()) / len(rows)
    return round(flips.value * voted, DIGITS)


def _labelled(pair: Judged, preference: float, weight: float) -> Comparison:
    label = Label(round(preference, DIGITS), _source(pair), weight=max(round(weight, DIGITS), LEAST))
    return replace(pair.comparison, label=label)


def _source(pair: Judged) -> Source:
    """Who judged: people only where all votes that say something are of people."""
    others = [vote.source for vote in pair.saying if vote.source != "person"]
    return others[0] if others else "person"


def _usable(rows: Sequence[Comparison], on_bad_row: OnBad) -> tuple[list[Comparison], Counter[str]]:
    """The rows that can be used, and how many others there are, by reason."""
    train: list[Comparison] = []
    dropped: Counter[str] = Counter()
    for row in rows:
        try:
            train.append(usable(row))
        except BadRow as problem:
            if on_bad_row == "stop":
                raise DataError(f"{row.id}: {problem.detail}; or set data.on_bad_row=skip") from problem
            dropped[problem.reason] += 1
    return train, dropped


def _kept(pair: Judged, row: Comparison | None) -> dict[str, Any]:
    """All that was said of a pair, and what became of it."""
    said = [
        {"annotator": vote.annotator, "outcome": vote.outcome}
        | ({"preferred": vote.preferred, "strength": vote.strength} if vote.outcome == "prefer" else {})
        for vote in pair.votes
    ]
    made = {"preference": row.label.preference, "weight": row.label.weight} if row and row.label else {}
    decided = (
        {"outcome": pair.decision.outcome, "preferred": pair.decision.preferred} if pair.decision else {}
    )
    return {"id": pair.comparison.id, **pair.counts, **made, "votes": said} | (
        {"decision": decided} if decided else {}
    )


def _report(judged: Sequence[Judged], voted: Voted) -> dict[str, Any]:
    ordinary = [pair for pair in judged if not pair.gold and not pair.ranked]
    said: Counter[str] = Counter()
    for pair in ordinary:
        said.update(pair.counts)
    several = [pair for pair in ordinary if len(pair.saying) > 1]
    return {
        "judged": len(ordinary),
        "gold": sum(pair.gold != 0 for pair in judged),
        "said": dict(said),
        "judged_again": len(several),
        "disputed": sum(pair.disputed for pair in several),
        "flips": voted.flips.to_json() if voted.flips else None,
        "annotators": voted.annotators,
        "between": _between(ordinary),
    }


def _between(pairs: Sequence[Judged]) -> list[dict[str, Any]]:
    """Of each two annotators: pairs on which both said something, and those on which they said otherwise.

    Those who differ most often come first, so many of them.
    """
    shared: Counter[tuple[str, str]] = Counter()
    differ: Counter[tuple[str, str]] = Counter()
    for pair in pairs:
        said = {vote.annotator: vote.preferred for vote in pair.saying}
        for one, other in combinations(sorted(said), 2):
            shared[one, other] += 1
            differ[one, other] += said[one] != said[other]
    order = sorted(shared, key=lambda two: (-differ[two], two))[:MOST_BETWEEN]
    return [{"annotators": list(two), "shared": shared[two], "differ": differ[two]} for two in order]


def _annotators(laid: Laid, labels: Labels) -> dict[str, dict[str, Any]]:
    """By annotator: saying votes, the share of decided ones that is against the labels, what one tells."""
    wrong, who = labels.against(laid.votes), laid.votes.annotators
    found = {}
    for number, name in enumerate(laid.annotators):
        own = wrong[who == number]
        decided = own[~np.isnan(own)]
        found[name] = {
            "votes": len(own),
            "against": round(float(decided.mean()), DIGITS) if decided.size else None,
            "telling": round(float(labels.telling[number]), DIGITS),
        }
    return found


def _digest(judged: Sequence[Judged]) -> str:
    """An id of all that was said and decided, and of what it was said."""
    return content_id(
        [
            [to_json(pair.comparison), pair.gold, pair.votes, *([pair.decision] if pair.decision else [])]
            for pair in judged
        ]
    )
