"""What a person says of a task, as it is shown and as it is kept."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gnomon.labelling.settings import FLAGS, STRENGTHS

Outcome = Literal["prefer", "tie", "both_bad", "skip"]
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


def as_kept(judgement: Judgement, shown_order: Sequence[int]) -> dict[str, Any]:
    """The judgement in terms of the responses' own places, whatever side they were shown on."""
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
    """The judgement on the sides it was given on: the inverse of `as_kept`."""
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
