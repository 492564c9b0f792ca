"""What has come in so far, counted: for a glance while people are at work."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any, TypeVar

from gnomon.labelling.export import rows
from gnomon.labelling.store import cases, projects
from gnomon.labelling.store.database import Transaction
from gnomon.labelling.store.projects import Project

T = TypeVar("T")
NO_SIDE = ("skip", "ranked")
"""Outcomes that say nothing of which of two answers is better."""


def summary(tx: Transaction, project: Project) -> dict[str, Any]:
    """Items by purpose, labels by outcome, raw agreement, what was decided, and what each annotator did."""
    found = counted(rows(tx, project.id, with_text=False))
    found["adjudication"]["waiting"] = cases.count(tx, project.id, project.settings)
    return {"items": projects.count_items(tx, project.id), **found}


def counted(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The part of `summary` that follows from the rows of an export.

    `agreement` is the share of pairs of people that said the same of one ordinary item in their first
    pass; None where no two did. In `annotators`, `gold` (of which skips and *both bad* say nothing) and
    `repeats` give how many there were and how many were right or the same again, `left` how many of the
    preferred answers stood on the left. Of the items `decided` so many have a majority of `majorities`, and
    `overruled` counts decisions against it.
    """
    outcomes: Counter[str] = Counter()
    decisions: dict[str, Any] = {}
    left_open: set[str] = set()
    said: dict[str, list[Any]] = defaultdict(list)
    people: dict[str, _Person] = defaultdict(_Person)
    for row in found:
        if row["label_source"] == "adjudicated":
            if row["outcome"] == "skip":
                left_open.add(row["item"])
            else:
                decisions[row["item"]] = (row["outcome"], row["preferred"])
            continue
        outcomes[row["outcome"]] += 1
        people[row["annotator"]].add(row)
        if row["purpose"] == "ordinary" and row["pass_number"] == 1 and row["outcome"] not in NO_SIDE:
            said[row["item"]].append((row["outcome"], row["preferred"]))
    return {
        "labels": outcomes.total(),
        "outcomes": dict(outcomes),
        "agreement": _agreement(said.values()),
        "adjudication": {"open": len(left_open - decisions.keys()), **_decided(decisions, said)},
        "annotators": {name: person.summary() for name, person in sorted(people.items())},
    }


def plurality(said: Iterable[T]) -> T | None:
    """What was said most often; None for nothing, and where two things were as often."""
    often = Counter(said).most_common(2)
    if not often or (len(often) > 1 and often[0][1] == often[1][1]):
        return None
    return often[0][0]


def _decided(decisions: Mapping[str, Any], said: Mapping[str, list[Any]]) -> dict[str, int]:
    majorities = {item: plurality(said.get(item, ())) for item in decisions}
    known = {item: most for item, most in majorities.items() if most is not None}
    overruled = sum(decisions[item] != most for item, most in known.items())
    return {"decided": len(decisions), "majorities": len(known), "overruled": overruled}


def _agreement(groups: Iterable[list[Any]]) -> float | None:
    same = pairs = 0
    for group in groups:
        pairs += len(group) * (len(group) - 1) // 2
        same += sum(count * (count - 1) // 2 for count in Counter(group).values())
    return same / pairs if pairs else None


class _Person:
    def __init__(self) -> None:
        self.labels = self.skipped = self.preferring = self.left = 0
        self.gold, self.repeats = [0, 0], [0, 0]
        self.first: dict[str, Any] = {}
        self.times: list[int] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one label of this person into account."""
        self.labels += 1
        self.skipped += row["outcome"] == "skip"
        if row["active_ms"] is not None:
            self.times.append(row["active_ms"])
        if row["outcome"] == "prefer":
            self.preferring += 1
            self.left += row["preferred"] == row["shown_order"][0]
        if row["expected"] is not None and row["outcome"] in ("prefer", "tie"):
            self.gold[0] += 1
            self.gold[1] += row["preferred"] == row["expected"]
        answer = (row["outcome"], row["preferred"], row["ranks"])
        if row["pass_number"] == 1:
            self.first[row["item"]] = answer
        else:
            self.repeats[0] += 1
            self.repeats[1] += self.first.get(row["item"]) == answer

    def summary(self) -> dict[str, Any]:
        return {
            "labels": self.labels,
            "skipped": self.skipped,
            "preferring": self.preferring,
            "left": self.left,
            "gold": {"answered": self.gold[0], "right": self.gold[1]},
            "repeats": {"answered": self.repeats[0], "same": self.repeats[1]},
            "median_active_ms": median(self.times) if self.times else None,
        }
