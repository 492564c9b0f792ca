"""What is trained: where a step's batches come from, and the loss of one of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

Figures = dict[str, Tensor]
"""Of a micro-batch; they add up over the step. Reading one waits for the device: not before the step is
computed."""


@dataclass(frozen=True)
class Micro:
    """One forward pass: its rows' ids (to say which rows went wrong), its tensors, its weight in the step;
    `computed` are its tokens with their padding."""

    row_ids: tuple[str, ...]
    tensors: Any
    tokens: int
    computed: int = 0


def beyond(tokens: int) -> Callable[[Micro], bool]:
    """Whether a pass computes more tokens than so many."""
    return lambda micro: micro.computed > tokens


@dataclass(frozen=True)
class StepWork:
    """What one optimiser step learns from. `stop` says why training should end before this step."""

    micros: Sequence[Micro]
    metrics: dict[str, float] = field(default_factory=dict)
    stop: str | None = None


class Objective(Protocol):
    """Instruction tuning, reward modelling and policy optimisation differ in this and in nothing else.

    `loss` gives a micro-batch's share of the step's loss: shares are normalised by counts of the whole step,
    over all processes, and add up to it however the rows are cut.
    """

    steps: int

    def prepare(self, step: int) -> StepWork:
        """The work of a step (0-based); the same for the same step and weights."""
        ...

    def loss(self, micro: Micro) -> tuple[Tensor, Figures]:
        """A scalar share of the loss, and figures of the micro-batch, which have no gradient."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What must survive an interruption beside weights and step."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state_dict` was written."""
        ...
