"""Exported labels as arrays: what the statistics count as votes, and what they leave out."""

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import log2
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gnomon.labelling.settings import STRENGTHS, ProbeKind
from gnomon.stats.units import Floats, Positions, positions
from gnomon.stats.votes import Pairs, Votes

KINDS = 2 * len(STRENGTHS) + 1
"""Outcomes from the second answer much better (0) over a tie (the middle) to the first much better."""
TIE = len(STRENGTHS)
NO_VOTES = ("skip", "both_bad", "ranked")
"""Outcomes that say nothing of which of two answers is better."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Ballots:
    """One row per label that says which answer is better, or that neither is; in the order they came.

    `items` and `annotators` [votes] are positions in `item_names` and `names`; `indices` say the how-manieth
    label of its annotator it is, `outcomes` lie in [0, KINDS), `sides` are 1 where the item's first answer
    stood left, `seconds` NaN where unknown; `again` marks repeats. Of each item: whether it is `ordinary`, or
    in the `exam`, the qualification round; which answer is better where that is `known` (1 the first, -1 the
    second, 0 unknown); its `lengths` as log2 of the first answer's characters over the second's, and numbers
    of its prompt and of its answers.
    """

    names: tuple[str, ...]
    item_names: tuple[str, ...]
    items: Positions
    annotators: Positions
    indices: Positions
    outcomes: Positions
    sides: Floats
    seconds: Floats
    again: Flags
    ordinary: Flags
    exam: Flags
    known: Positions
    lengths: Floats
    prompts: Positions
    answers: Positions
    asked: tuple[str, ...]

    @property
    def directions(self) -> Positions:
        """Outcomes without their strength, [votes]: 0 the second answer, 1 a tie, 2 the first."""
        return np.sign(self.outcomes - TIE) + 1

    @property
    def counted(self) -> Flags:
        """First judgements of ordinary items, [votes]: those that agreement is about."""
        return self.ordinary[self.items] & ~self.again

    def votes(self) -> tuple[Votes, Pairs]:
        """First judgements of all items, for the model of annotators; gold says which answer is better."""
        first = np.flatnonzero(~self.again)
        votes = Votes.of(
            self.items[first],
            self.annotators[first],
            self.outcomes[first],
            KINDS,
            self.sides[first],
            len(self.names),
        )
        return votes, Pairs.of(len(self.item_names), lengths=self.lengths, gold=self.known)


class Probing(NamedTuple):
    """A judgement of one version of a probe; `length` is how much longer its first answer is: doublings."""

    annotator: str
    pair: str
    kind: ProbeKind
    favours: int
    outcome: int
    length: float


@dataclass(slots=True)
class Counts:
    """What came in, by outcome and by annotator, before anything is left out.

    By item: what was decided, and the first rankings with who gave them. `probed` are judgements of probes,
    in the order they came.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    annotators: dict[str, Counter[str]] = field(default_factory=dict)
    decisions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    rankings: dict[str, list[tuple[str, Sequence[int]]]] = field(default_factory=dict)
    probed: list[Probing] = field(default_factory=list)
    until: str | None = None

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one vote into account."""
        self.outcomes[row["outcome"]] += 1
        own = self.annotators.setdefault(row["annotator"], Counter())
        own[row["outcome"]] += 1
        if row["outcome"] == "ranked" and row["pass_number"] == 1:
            self.rankings.setdefault(row["item"], []).append((row["annotator"], row["ranks"]))
        self.until = row["at"]

    def decide(self, row: Mapping[str, Any]) -> None:
        """Take a decision into account; where one left it open, another counts."""
        if row["outcome"] != "skip" or row["item"] not in self.decisions:
            self.decisions[row["item"]] = {name: row[name] for name in ("outcome", "preferred")}


@dataclass(slots=True)
class _Item:
    """What a label says of its item."""

    purpose: str
    known: int
    length: float
    prompt: str
    answers: tuple[str, str]
    asked: str


def read(rows: Iterable[Mapping[str, Any]]) -> tuple[Ballots, Counts]:
    """Rows of an export with texts, as `gnomon.labelling.export.rows` gives them, read one at a time.

    Annotators who gave no vote are in the ballots too; items are there from their first vote on. Decisions
    are no votes, and probes, whose cue is meant to sway, are kept apart.
    """
    counts, items, columns = Counts(), dict[str, _Item](), list[tuple[Any, ...]]()
    for row in rows:
        if row["label_source"] == "adjudicated":
            counts.decide(row)
            continue
        counts.add(row)
        index = counts.annotators[row["annotator"]].total() - 1
        if row["outcome"] in NO_VOTES:
            continue
        if row["purpose"] == "probe":
            counts.probed.append(_probing(row))
            continue
        if row["item"] not in items:
            items[row["item"]] = _item(row)
        seconds = np.nan if row["active_ms"] is None else row["active_ms"] / 1000
        side = 1.0 if row["shown_order"][0] == 0 else -1.0
        again = row["pass_number"] > 1
        columns.append((row["item"], row["annotator"], index, outcome_of(row), side, seconds, again))
    return _ballots(tuple(sorted(counts.annotators)), items, columns), counts


def outcome_of(row: Mapping[str, Any]) -> int:
    """A label on the scale of strength: 0 the second answer much better, TIE, and so on up."""
    if row["outcome"] == "tie":
        return TIE
    strength: int = row["strength"]
    return TIE + strength if row["preferred"] == 0 else TIE - strength


def log_ratio(first: int, second: int) -> float:
    """How many times longer the first is, in doublings; empty answers count as one character."""
    return log2(max(first, 1) / max(second, 1))


def text_of(messages: Iterable[Mapping[str, Any]]) -> str:
    """The texts of an answer's messages."""
    return "\n".join(message["content"] for message in messages)


def _length(row: Mapping[str, Any]) -> float:
    first, second = row["responses"]
    return log_ratio(len(text_of(first)), len(text_of(second)))


def _probing(row: Mapping[str, Any]) -> Probing:
    return Probing(row["annotator"], **row["probe"], outcome=outcome_of(row), length=_length(row))


def _item(row: Mapping[str, Any]) -> _Item:
    first, second = row["responses"]
    prompt = _digest(row["prompt"])
    known = 0 if row["expected"] is None else 1 - 2 * row["expected"]
    return _Item(
        row["purpose"],
        known,
        _length(row),
        prompt,
        (_digest([prompt, first]), _digest([prompt, second])),
        row["prompt"][-1]["content"],
    )


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _ballots(
    names: tuple[str, ...], items: Mapping[str, _Item], columns: Sequence[tuple[Any, ...]]
) -> Ballots:
    table: list[tuple[Any, ...]] = list(zip(*columns, strict=True)) or [()] * 7
    item, annotator, index, outcome, side, seconds, again = table
    places = {name: place for place, name in enumerate(names)}
    numbers = {name: place for place, name in enumerate(items)}
    own = list(items.values())
    answers: list[Hashable] = [answer for one in own for answer in one.answers]
    return Ballots(
        names=names,
        item_names=tuple(items),
        items=np.array([numbers[name] for name in item], dtype=np.int64),
        annotators=np.array([places[name] for name in annotator], dtype=np.int64),
        indices=np.array(index, dtype=np.int64),
        outcomes=np.array(outcome, dtype=np.int64),
        sides=np.array(side, dtype=np.float64),
        seconds=np.array(seconds, dtype=np.float64),
        again=np.array(again, dtype=bool),
        ordinary=np.array([one.purpose == "ordinary" for one in own], dtype=bool),
        exam=np.array([one.purpose == "qualification" for one in own], dtype=bool),
        known=np.array([one.known for one in own], dtype=np.int64),
        lengths=np.array([one.length for one in own], dtype=np.float64),
        prompts=positions([one.prompt for one in own], len(own)),
        answers=positions(answers, len(answers)).reshape(-1, 2),
        asked=tuple(one.asked for one in own),
    )
