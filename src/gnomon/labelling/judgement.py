"""What a person says of a task, as it is shown and as it is kept."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gnomon.errors import DataError
from gnomon.labelling.settings import FLAGS, MOST_RANKED, STRENGTHS

Choice = Literal["left", "right", "tie", "both_bad", "skip"]
Flag = Literal["harmful", "refuses", "wrong", "off-topic", "unreadable"]
Milliseconds = Annotated[int, Field(ge=0, le=2**40)]


class Judgement(BaseModel):
    """A judgement in the terms of the screen: the side that is better and how much, or why neither.

    `left_flags` and `right_flags` mark the answers themselves. `active_ms` counts only while the page had
    the focus, `elapsed_ms` all the time since it was shown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    choice: Choice
    strength: int | None = Field(None, ge=1, le=len(STRENGTHS))
    left_flags: frozenset[Flag] = frozenset()
    right_flags: frozenset[Flag] = frozenset()
    rationale: str = Field("", max_length=5000)
    active_ms: Milliseconds | None = None
    elapsed_ms: Milliseconds | None = None

    @model_validator(mode="after")
    def _strength_goes_with_a_side(self) -> "Judgement":
        if (self.strength is not None) != (self.choice in ("left", "right")):
            raise ValueError("strength, from 1 to 4, goes with left and right, and with nothing else")
        return self


class Ordering(BaseModel):
    """A ranking in the terms of the screen: the rank of each answer as they were shown; 1 is the best.

    Answers as good as one another share a rank, and none is left out: 1, 2, 2, 3. Without `ranks` the task is
    skipped. `flags` mark answers, by where they were shown, from 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ranks: tuple[int, ...] | None = Field(min_length=3, max_length=MOST_RANKED)
    flags: dict[int, frozenset[Flag]] = {}
    rationale: str = Field("", max_length=5000)
    active_ms: Milliseconds | None = None
    elapsed_ms: Milliseconds | None = None

    @model_validator(mode="after")
    def _no_rank_is_left_out(self) -> "Ordering":
        if self.ranks is not None and set(self.ranks) != set(range(1, max(self.ranks) + 1)):
            raise ValueError("ranks go from 1, the best, without a gap; as good answers share one")
        return self


Answer = Judgement | Ordering
"""What can be said of a task: a judgement of two answers, an ordering of more."""


def as_kept(answer: Answer, shown_order: Sequence[int]) -> dict[str, Any]:
    """The answer in terms of the responses' own places, wherever they were shown.

    DataError where it does not answer the task, which asks for another thing, or of other many answers.
    """
    count = len(shown_order)
    ranks = answer.ranks if isinstance(answer, Ordering) else None
    if isinstance(answer, Ordering) != (count > 2) or (ranks is not None and len(ranks) != count):
        wanted = "a judgement of two answers" if count == 2 else f"a rank for each of {count} answers"
        raise DataError(f"this task asks for {wanted}; answer that")
    return _ordered(answer, shown_order) if isinstance(answer, Ordering) else _judged(answer, shown_order)


def as_answered(kept: Mapping[str, Any], shown_order: Sequence[int]) -> Answer:
    """The answer as it was given: the inverse of `as_kept`."""
    if len(shown_order) == 2:
        return as_shown(kept, shown_order)
    flags = {shown_order.index(int(place)): frozenset(own) for place, own in (kept["flags"] or {}).items()}
    return Ordering(
        ranks=tuple(kept["ranks"][place] for place in shown_order) if kept["ranks"] else None,
        flags=flags,
        rationale=kept["rationale"] or "",
        active_ms=kept["active_ms"],
        elapsed_ms=kept["elapsed_ms"],
    )


def _ordered(ordering: Ordering, shown_order: Sequence[int]) -> dict[str, Any]:
    ranks = dict(zip(shown_order, ordering.ranks or (), strict=False))
    return {
        "outcome": "ranked" if ranks else "skip",
        "ranks": [ranks[place] for place in range(len(shown_order))] if ranks else None,
        "flags": {
            str(shown_order[shown]): sorted(own, key=FLAGS.index)
            for shown, own in ordering.flags.items()
            if own and shown < len(shown_order)
        },
        "rationale": ordering.rationale,
        "active_ms": ordering.active_ms,
        "elapsed_ms": ordering.elapsed_ms,
    }


def _judged(judgement: Judgement, shown_order: Sequence[int]) -> dict[str, Any]:
    sides = dict(zip(("left", "right"), shown_order, strict=True))
    marked = {"left": judgement.left_flags, "right": judgement.right_flags}
    preferred = sides.get(judgement.choice)
    return {
        "outcome": judgement.choice if preferred is None else "prefer",
        "preferred": preferred,
        "strength": judgement.strength,
        "flags": {
            str(place): sorted(marked[side], key=FLAGS.index) for side, place in sides.items() if marked[side]
        },
        "rationale": judgement.rationale,
        "active_ms": judgement.active_ms,
        "elapsed_ms": judgement.elapsed_ms,
    }


def as_shown(kept: Mapping[str, Any], shown_order: Sequence[int]) -> Judgement:
    """The judgement of two answers on the sides it was given on."""
    sides = {place: side for side, place in zip(("left", "right"), shown_order, strict=True)}
    flags = {f"{sides[int(place)]}_flags": marked for place, marked in (kept["flags"] or {}).items()}
    choice = kept["outcome"] if kept["preferred"] is None else sides[kept["preferred"]]
    return Judgement(
        choice=choice,
        strength=kept["strength"],
        rationale=kept["rationale"] or "",
        active_ms=kept["active_ms"],
        elapsed_ms=kept["elapsed_ms"],
        **flags,
    )
