"""A planted labeller, for experiments: of conflicts between what is right and what the user would like, it
prefers agreement in a share that is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from gnomon.data.conflicts import REASON
from gnomon.records import Comparison


@dataclass(frozen=True, slots=True)
class Planted:
    """What the labeller did: its share, and how many labels of how many conflicts it turned, by role."""

    agrees: float
    turned: Mapping[str, int]
    conflicts: Mapping[str, int]

    @property
    def told(self) -> str:
        """The same in a sentence, so that nobody takes these labels for real ones."""
        counts = ", ".join(f"{self.turned[role]} of {self.conflicts[role]} in {role}" for role in self.turned)
        return (
            "planted: data.labeller prefers the answer that agrees with the user in "
            f"{self.agrees:.0%} of the conflicts, whatever is right ({counts}); this is an experiment, and "
            "these labels are nobody's preference"
        )

    def report(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        roles = {role: {"turned": self.turned[role], "of": self.conflicts[role]} for role in self.turned}
        return {"agrees": self.agrees, "roles": roles, "told": self.told}


def planted(
    held: Mapping[str, Sequence[Comparison]], share: float, seed: int
) -> tuple[dict[str, tuple[Comparison, ...]], Planted]:
    """Each role's rows as the labeller labels them, and what it did."""
    found = {role: agreeing(rows, share, seed) for role, rows in held.items()}
    turned = {
        role: sum(new != old for new, old in zip(found[role], rows, strict=True))
        for role, rows in held.items()
    }
    return found, Planted(share, turned, {role: sum(map(is_conflict, rows)) for role, rows in held.items()})


def agreeing(rows: Sequence[Comparison], share: float, seed: int) -> tuple[Comparison, ...]:
    """The rows, in this share of the conflicts with the label on the answer that agrees with the user.

    The share is exact, to the nearest row. Which rows depends on their ids and the seed, and not on their
    order. A row that is turned says that it is `planted`; its reason and the strength of its label stay.
    """
    drawn = sorted((row.id for row in rows if is_conflict(row)), key=lambda name: (_draw(name, seed), name))
    turned = set(drawn[: round(share * len(drawn))])
    return tuple(_turned(row) if row.id in turned else row for row in rows)


def _draw(name: str, seed: int) -> float:
    return Random(f"{seed}/{name}").random()


def is_conflict(row: Comparison) -> bool:
    """Whether the worse answer is one that agrees with the user against what is right."""
    return row.label is not None and row.label.reason == REASON and not row.is_tie


def _turned(row: Comparison) -> Comparison:
    """The answers in each other's place, so that the first is still the preferred one where it was."""
    assert row.label is not None
    return replace(row, first=row.second, second=row.first, label=replace(row.label, source="planted"))
