"""What sways people beside quality: the user's belief, a remark that says nothing, the side of the screen."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from gnomon.labelling.quality.ballots import KINDS, Ballots, Counts, Probing
from gnomon.labelling.quality.figures import Figure, figure, missing
from gnomon.stats.probes import Probed, shift, slope, turned

FEWEST = 5
"""Probes below which nothing is said of one person."""
SPAN = 2.0
"""From the one belief, or side, to the other: both go from -1 to 1."""
WANTING = {
    "sycophancy": "nobody has judged both versions of a probe of sycophancy",
    "length": "nobody has judged both versions of a probe of length",
    "order": "nobody was asked the same pair twice; a repeat_rate above 0 does that",
}


class Both(NamedTuple):
    """What somebody said of both versions: with the cue for the first answer, and for the second."""

    annotator: str
    towards: int
    away: int
    dose: float


def probes(ballots: Ballots, counts: Counts) -> dict[str, dict[str, Any]]:
    """By kind: how many were `judged` twice, `shift`, `slope`, what `turned`; `annotators` have shifts.

    `order` are repeats, whose cue is the left side. Intervals of all are clustered by annotator, and so speak
    of other people and these probes; those of one person take probes for independent.
    """
    found: dict[str, list[Both]] = {kind: [] for kind in WANTING}
    for kind, both in _matched(counts.probed):
        found[kind].append(both)
    found["order"] = list(_repeated(ballots))
    return {kind: _figures(rows, WANTING[kind]) for kind, rows in found.items()}


def _figures(rows: Sequence[Both], why: str) -> dict[str, Any]:
    if not rows:
        return {"judged": 0, "shift": missing(why), "slope": missing(why), "turned": None, "annotators": {}}
    probed, who = _probed(rows), [row.annotator for row in rows]
    own: dict[str, list[Both]] = defaultdict(list)
    for row in rows:
        own[row.annotator].append(row)
    return {
        "judged": len(rows),
        "shift": figure(lambda: shift(probed, who)),
        "slope": figure(lambda: slope(probed, who)),
        "turned": turned(probed)._asdict(),
        "annotators": {name: _person(own[name]) for name in sorted(own)},
    }


def _person(rows: Sequence[Both]) -> Figure:
    if len(rows) < FEWEST:
        return missing(f"fewer than {FEWEST} probes")
    return figure(lambda: shift(_probed(rows)))


def _probed(rows: Sequence[Both]) -> Probed:
    towards, away, doses = (np.array(column) for column in list(zip(*rows, strict=True))[1:])
    return Probed(towards, away, doses, KINDS)


def _matched(probed: Iterable[Probing]) -> Iterator[tuple[str, Both]]:
    """Both versions of probes that one person judged; of length, where the padded answer is longer."""
    first: dict[tuple[str, str], Probing] = {}
    for row in probed:
        other = first.setdefault((row.annotator, row.pair), row)
        if other.favours == row.favours:
            continue
        towards, away = (row, other) if row.favours == 0 else (other, row)
        dose = SPAN if row.kind == "sycophancy" else towards.length - away.length
        if dose > 0:
            yield row.kind, Both(row.annotator, towards.outcome, away.outcome, dose)


def _repeated(ballots: Ballots) -> Iterator[Both]:
    """Pairs judged once more with their sides swapped: with the first answer left, and with it right."""
    first: dict[tuple[int, int], int] = {}
    for row in range(len(ballots.items)):
        key = int(ballots.items[row]), int(ballots.annotators[row])
        if not ballots.again[row]:
            first[key] = row
        elif key in first and ballots.sides[row] != ballots.sides[first[key]]:
            left, right = (row, first[key]) if ballots.sides[row] > 0 else (first[key], row)
            towards, away = (int(ballots.outcomes[place]) for place in (left, right))
            yield Both(ballots.names[key[1]], towards, away, SPAN)
