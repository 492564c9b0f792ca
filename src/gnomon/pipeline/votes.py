"""What was said of a project's pairs: gathered by pair, and laid out as arrays for the models of votes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from gnomon.data.implied import implied
from gnomon.records import Comparison, Message, Source, from_json
from gnomon.stats.units import Floats
from gnomon.stats.votes import Pairs, Votes

SAYING = ("prefer", "tie")
"""Outcomes that say something of which answer is better: the others are kept and counted, and no votes."""

GOLD = {None: 0, 0: 1, 1: -1}
"""What a known answer, by its place, is worth in `Pairs.gold`."""

Row = Mapping[str, Any]


class Vote(NamedTuple):
    """What one person said of a pair; `side` is 1 where its first answer was shown first, -1 where second."""

    annotator: str
    outcome: str
    preferred: int | None
    strength: int | None
    side: int
    source: Source


@dataclass(frozen=True, slots=True)
class Judged:
    """A pair with what was said of it, in that order; `gold` is 1 or -1 where its better answer is known.

    `decision` is what somebody decided who saw the votes, if anybody did. A pair that rankings imply is
    `ranked`, of so many answers: what they say of it was not said of it alone.
    """

    comparison: Comparison
    gold: int
    votes: list[Vote] = field(default_factory=list)
    decision: Vote | None = None
    ranked: int = 0

    @property
    def saying(self) -> list[Vote]:
        """The votes that say something of which answer is better."""
        return [vote for vote in self.votes if vote.outcome in SAYING]

    @property
    def counts(self) -> dict[str, int]:
        """How often each thing was said."""
        said = Counter(
            vote.outcome if vote.preferred is None else ("first", "second")[vote.preferred]
            for vote in self.votes
        )
        return {name: said[name] for name in ("first", "tie", "second", "both_bad", "skip")}

    @property
    def disputed(self) -> bool:
        """Whether somebody preferred the first answer and somebody the second."""
        return {vote.preferred for vote in self.saying} >= {0, 1}


class Laid(NamedTuple):
    """The saying votes of pairs as arrays; `annotators` are the names behind `votes.annotators`."""

    votes: Votes
    pairs: Pairs
    annotators: tuple[str, ...]


def gather(rows: Iterable[Row], project: str) -> list[Judged]:
    """The rows of an export, texts included, by pair, in the order in which pairs were first judged.

    A second judgement by the same person says how sure this person is, not what another would say: it is no
    vote. A decision is none either, and one that leaves its pair open says nothing. Of a ranking each pair of
    answers is one. What was said of probes says how people are swayed, not which answers are better.
    """
    found: dict[str, Judged] = {}
    for row in rows:
        if row["purpose"] == "probe":
            continue
        decides = row["label_source"] == "adjudicated"
        if row["outcome"] == "skip" if decides else row["pass_number"] != 1:
            continue
        if row["outcome"] == "ranked":
            _unfold(row, project, found)
            continue
        pair = found.get(row["item"]) or Judged(_comparison(row, project, row["item"]), GOLD[row["expected"]])
        side = 1 if row["shown_order"][0] == 0 else -1
        said = (row["annotator"], row["outcome"], row["preferred"], row["strength"])
        vote = Vote(*said, side, row["source"])
        if decides:
            pair = replace(pair, decision=vote)
        else:
            pair.votes.append(vote)
        found[row["item"]] = pair
    return list(found.values())


class Lapses(NamedTuple):
    """Judgements of known pairs, and of pairs that one person judged twice, ties aside."""

    right: int
    wrong: int
    kept: int
    changed: int


def lapses(rows: Iterable[Row]) -> Lapses:
    """How often people got known pairs right and wrong, and kept and changed their mind about others.

    First judgements of the known, first and second ones of the others.
    """
    said: dict[tuple[str, str], dict[int, int]] = {}
    right = wrong = 0
    for row in rows:
        if row["label_source"] == "adjudicated" or row["outcome"] != "prefer":
            continue
        if row["expected"] is None:
            said.setdefault((row["item"], row["annotator"]), {})[row["pass_number"]] = row["preferred"]
        elif row["pass_number"] == 1:
            right += row["preferred"] == row["expected"]
            wrong += row["preferred"] != row["expected"]
    twice = [own[1] == own[2] for own in said.values() if own.keys() >= {1, 2}]
    return Lapses(right, wrong, sum(twice), len(twice) - sum(twice))


def _unfold(row: Row, project: str, found: dict[str, Judged]) -> None:
    """Add what a ranking says of each pair of its answers."""
    for first, second, preference in implied(row["ranks"]):
        name = f"{row['item']}/{first}-{second}"
        if name not in found:
            pair = _comparison(row, project, name, (first, second))
            found[name] = Judged(pair, 0, ranked=len(row["ranks"]))
        side = 1 if row["shown_order"].index(first) < row["shown_order"].index(second) else -1
        outcome, preferred = ("tie", None) if preference == 0.5 else ("prefer", int(preference == 0))
        found[name].votes.append(Vote(row["annotator"], outcome, preferred, None, side, row["source"]))


def lay_out(judged: Sequence[Judged]) -> Laid:
    """Votes and what is known of their pairs, each of which somebody said something of.

    Strengths that nobody gave are no steps of the scale. Lengths are log ratios of characters, in units of
    their own root mean square.
    """
    flat = [(place, vote) for place, pair in enumerate(judged) for vote in pair.saying]
    names = {name: k for k, name in enumerate(dict.fromkeys(vote.annotator for _, vote in flat))}
    steps = sorted({vote.strength or 1 for _, vote in flat if vote.outcome == "prefer"}) or [1]
    votes = Votes.of(
        [place for place, _ in flat],
        [names[vote.annotator] for _, vote in flat],
        [_outcome(vote, steps) for _, vote in flat],
        2 * len(steps) + 1,
        [vote.side for _, vote in flat],
        len(names),
    )
    gold = np.array([pair.gold for pair in judged], dtype=np.float64)
    return Laid(votes, Pairs.of(len(judged), lengths=_lengths(judged), gold=gold), tuple(names))


def _outcome(vote: Vote, steps: Sequence[int]) -> int:
    """The place on a scale of so many steps to either side of a tie."""
    if vote.outcome == "tie":
        return len(steps)
    step = steps.index(vote.strength or 1) + 1
    return len(steps) + (step if vote.preferred == 0 else -step)


def _lengths(judged: Sequence[Judged]) -> Floats:
    sizes = np.array([[_size(pair.comparison.first), _size(pair.comparison.second)] for pair in judged])
    ratios: Floats = np.log1p(sizes[:, 0]) - np.log1p(sizes[:, 1])
    scale = float(np.sqrt((ratios**2).mean()))
    return ratios / scale if scale else ratios


def _size(turns: Sequence[Message]) -> int:
    return sum(len(turn.content) for turn in turns)


def _comparison(row: Row, project: str, name: str, places: tuple[int, int] = (0, 1)) -> Comparison:
    first, second = (row["responses"][place] for place in places)
    values = {
        "id": f"{project}/{name}",
        "prompt": {"messages": row["prompt"]},
        "first": first,
        "second": second,
    }
    return from_json(Comparison, values)
