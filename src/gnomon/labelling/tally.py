"""What has come in so far, counted: for a glance while people are at work."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from gnomon.labelling.export import rows
from gnomon.labelling.store import projects
from gnomon.labelling.store.database import Transaction


def summary(tx: Transaction, project: int) -> dict[str, Any]:
    """Items by purpose, labels by outcome, raw agreement, and what each annotator did."""
    return {"items": projects.count_items(tx, project), **counted(rows(tx, project, with_text=False))}


def counted(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The part of `summary` that follows from the rows of an export.

    `agreement` is the share of pairs of people that said the same of one ordinary item in their first
    pass; None where no two did. In `annotators`, `gold` and `repeats` give how many there were and how
    many were right or the same again, `left` how many of the preferred answers stood on the left.
    """
    outcomes: Counter[str] = Counter()
    said: dict[str, list[Any]] = defaultdict(list)
    people: dict[str, _Person] = defaultdict(_Person)
    for row in found:
        outcomes[row["outcome"]] += 1
        people[row["annotator"]].add(row)
        if row["purpose"] == "ordinary" and row["pass_number"] == 1 and row["outcome"] != "skip":
            said[row["item"]].append((row["outcome"], row["preferred"]))
    return {
        "labels": outcomes.total(),
        "outcomes": dict(outcomes),
        "agreement": _agreement(said.values()),
        "annotators": {name: person.summary() for name, person in sorted(people.items())},
    }


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
        if row["expected"] is not None:
            self.gold[0] += 1
            self.gold[1] += row["preferred"] == row["expected"]
        answer = (row["outcome"], row["preferred"])
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
