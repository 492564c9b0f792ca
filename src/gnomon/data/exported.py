"""Labels as the labelling application exports them: one row per vote, in JSON Lines or in a table."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gnomon.data.checks import usable
from gnomon.data.fields import Row, annotator_of, is_list_of, number_of, stated_source, truth_of
from gnomon.data.files import BadRow
from gnomon.data.implied import implied
from gnomon.errors import DataError
from gnomon.records import Comparison, Label, Record, from_json, implied_weight

KEYS = {"item", "annotator", "outcome", "preferred", "purpose"}
WORTH = {0: 1.0, 1: 0.0}
"""What is said of the first answer by naming the place of the better one."""

STRONGEST = 4
"""The strength of "much better", the most that can be said."""


def fits_vote(row: Row) -> bool:
    """Whether a row is a label of the application."""
    return row.keys() >= KEYS


def parse_vote(row: Row, id: str) -> Sequence[Record]:
    """A comparison for each preference and tie, and for each pair that a ranking implies.

    BadRow for what says nothing of which answer is better.
    """
    if row["purpose"] == "probe":
        raise BadRow("a probe", "it tells how people are swayed, and trains nothing")
    if row["purpose"] != "ordinary":
        raise BadRow("a known answer", "it is about a pair whose answer is known, which trains nothing")
    if row["outcome"] not in ("prefer", "tie", "ranked"):
        raise BadRow("no preference", f"its outcome is {row['outcome']!r}, which names neither answer")
    if row.get("prompt") is None or row.get("responses") is None:
        raise BadRow("no text", "it was exported without its texts; export it with --text")
    if row["outcome"] == "ranked":
        return _ranked(row)
    adjudicated = row.get("label_source") == "adjudicated"
    if truth_of(row.get("decided")) and not adjudicated:
        raise BadRow(
            "decided by an adjudicator", "the decision on its pair, a row of its own, counts instead"
        )
    label = Label(
        0.5 if row["outcome"] == "tie" else _preferred(row),
        stated_source(row) or "person",
        str(row.get("rationale") or ""),
        annotator=annotator_of(row),
        adjudicated=adjudicated,
        strength=_strength(row),
    )
    _of_answers(row, 2)
    return [usable(_compared(row, label, (0, 1)))]


def _ranked(row: Row) -> Sequence[Record]:
    ranks, name = _nested(row.get("ranks")), _name(row)
    if not is_list_of(ranks, int):
        raise BadRow("no ranks", "'ranks' does not hold the rank of each answer")
    _of_answers(row, len(ranks))
    label = Label(
        0.5,
        stated_source(row) or "person",
        str(row.get("rationale") or ""),
        implied_weight(len(ranks)),
        annotator_of(row),
        ranking=name,
    )
    return [
        usable(_compared(row, replace(label, preference=preference), (first, second), f"/{first}-{second}"))
        for first, second, preference in implied(ranks)
    ]


def _of_answers(row: Row, count: int) -> None:
    responses = _nested(row["responses"])
    if not isinstance(responses, list) or len(responses) != count:
        said = "two answers" if count == 2 else f"{count} answers, as many as there are ranks"
        raise BadRow(f"not {'two' if count == 2 else 'as many'} answers", f"'responses' does not hold {said}")


def _name(row: Row) -> str:
    number = row.get("pass_number")
    return f"{row['item']}/{row['annotator']}/{1 if number is None else number}"


def _preferred(row: Row) -> float:
    place = number_of(row["preferred"], "preferred")
    if place not in WORTH:
        raise BadRow("unknown preference", f"'preferred' is {place:g}; it must be 0 or 1")
    return WORTH[int(place)]


def _strength(row: Row) -> float | None:
    value = row.get("strength")
    if row["outcome"] != "prefer" or not value:
        return None
    strength = number_of(value, "strength") / STRONGEST
    if not 0 < strength <= 1:
        raise BadRow("unknown strength", f"'strength' is {value}; it goes from 1 to {STRONGEST}")
    return strength


def _compared(row: Row, label: Label, places: tuple[int, int], pair: str = "") -> Comparison:
    prompt, responses = (_nested(row[name]) for name in ("prompt", "responses"))
    values = {
        "id": f"{_name(row)}{pair}",
        "prompt": {"messages": prompt},
        "first": responses[places[0]],
        "second": responses[places[1]],
    }
    try:
        read = from_json(Comparison, values)
    except DataError as problem:
        raise BadRow("not a record", str(problem)) from problem
    return Comparison(read.id, read.prompt, read.first, read.second, label)


def _nested(value: Any) -> Any:
    """A value with structure, which a table has as JSON."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as problem:
        raise BadRow("not a record", f"a cell that should be JSON is not: {problem}") from problem
