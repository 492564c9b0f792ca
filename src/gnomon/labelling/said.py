"""What people said of a pair, as whoever decides sees it: counted by side and by strength, and nobody's."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from gnomon.labelling.judgement import Choice, Flag, Judgement, as_shown
from gnomon.labelling.settings import FLAGS, STRENGTHS

CHOICES: tuple[Choice, ...] = get_args(Choice)


@dataclass(frozen=True, slots=True)
class Rationale:
    """Why somebody said what they said; `swapped` where what they call A is B on this screen."""

    choice: Choice
    swapped: bool
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """How often each thing was said, on the sides of a screen.

    `left` and `right` count preferences by strength, from slightly to much; flags are of each answer.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    tie: int
    both_bad: int
    skip: int
    left_flags: Mapping[str, int]
    right_flags: Mapping[str, int]
    rationales: tuple[Rationale, ...]


def told(votes: Sequence[Mapping[str, Any]], shown_order: Sequence[int]) -> Said:
    """Kept judgements, each with the order its annotator saw, in the order of another screen.

    Rationales are sorted by what they argue for and by their text: when they came would tell from whom.
    """
    seen = [(as_shown(vote, shown_order), list(vote["shown_order"]) != list(shown_order)) for vote in votes]
    choices = Counter(judgement.choice for judgement, _ in seen)
    rationales = [Rationale(own.choice, swapped, own.rationale) for own, swapped in seen if own.rationale]
    judgements = [judgement for judgement, _ in seen]
    return Said(
        left=_strengths(judgements, "left"),
        right=_strengths(judgements, "right"),
        tie=choices["tie"],
        both_bad=choices["both_bad"],
        skip=choices["skip"],
        left_flags=_marked(own.left_flags for own in judgements),
        right_flags=_marked(own.right_flags for own in judgements),
        rationales=tuple(
            sorted(rationales, key=lambda own: (CHOICES.index(own.choice), own.text, own.swapped))
        ),
    )


def _strengths(judgements: Sequence[Judgement], side: Choice) -> tuple[int, ...]:
    given = Counter(own.strength for own in judgements if own.choice == side)
    return tuple(given[strength] for strength in range(1, len(STRENGTHS) + 1))


def _marked(flags: Iterable[frozenset[Flag]]) -> dict[str, int]:
    often: Counter[str] = Counter(flag for own in flags for flag in own)
    return {flag: often[flag] for flag in FLAGS if often[flag]}
