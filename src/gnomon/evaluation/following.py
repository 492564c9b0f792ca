"""IFEval's accuracies (arXiv:2311.07911): of prompts, of single instructions and of each kind of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gnomon.judges.instructions.following import Instructions, follow, follow_loosely
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.proportion import clustered_share

Measure = Literal["strict", "loose"]
"""`follow` or `follow_loosely`."""


@dataclass(frozen=True, slots=True)
class Followed:
    """Which instructions of a prompt an answer follows, in their order; `kinds` are their ids."""

    key: str
    kinds: tuple[str, ...]
    strict: tuple[bool, ...]
    loose: tuple[bool, ...]

    def by(self, measure: Measure) -> tuple[bool, ...]:
        """The outcomes by one of the measures."""
        return self.strict if measure == "strict" else self.loose


def followed(asked: Instructions, answer: str) -> Followed:
    """Both measures of one answer; ConfigError where a language is asked for and langdetect is missing."""
    return Followed(
        asked.key,
        tuple(instruction.id for instruction in asked.instructions),
        follow(answer, asked.instructions),
        follow_loosely(answer, asked.instructions),
    )


def prompt_accuracy(rows: Sequence[Followed], measure: Measure) -> Estimate:
    """The share of answers that follow every instruction of their prompt; DataError for no rows.

    Intervals, here and below, resample prompts (rows of one key together).
    """
    return clustered_share([all(row.by(measure)) for row in rows], [row.key for row in rows])


def instruction_accuracy(rows: Sequence[Followed], measure: Measure) -> Estimate:
    """The share of instructions that are followed, all rows' together; DataError for no rows."""
    found = _outcomes(rows, measure)
    return clustered_share([outcome for _, _, outcome in found], [key for key, _, _ in found])


def accuracy_by_kind(rows: Sequence[Followed], measure: Measure) -> dict[str, Estimate]:
    """The share of each kind's instructions that are followed, by id in alphabetical order."""
    found = _outcomes(rows, measure)
    kinds = sorted({kind for _, kind, _ in found})
    return {
        kind: clustered_share(
            [outcome for _, its, outcome in found if its == kind],
            [key for key, its, _ in found if its == kind],
        )
        for kind in kinds
    }


def _outcomes(rows: Sequence[Followed], measure: Measure) -> list[tuple[str, str, bool]]:
    """Key, kind and outcome of every instruction."""
    return [
        (row.key, kind, outcome)
        for row in rows
        for kind, outcome in zip(row.kinds, row.by(measure), strict=True)
    ]
