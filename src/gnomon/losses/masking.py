"""Reductions over response tokens; the mask is True where a token counts."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Average = Literal["tokens", "sequences", "constant", "sums"]
"""What a step's loss is a mean of; `divisors` says what each means."""

EPS = 1e-6
"""Beside a standard deviation, where values nearly agree."""


def divisors(lengths: Int[Tensor, "rows"], average: Average, longest: int) -> Int[Tensor, "rows"]:
    """What each token's loss is divided by, of all rows of a step with so many response tokens each.

    tokens: all tokens of the step, each weighing the same (DAPO, arXiv:2503.14476, section 3.3); sequences:
    its row's tokens times the rows (GRPO, arXiv:2402.03300, eq. 3); constant: the `longest` a response may
    be times the rows (Dr. GRPO, arXiv:2503.20783); sums: the rows, a response being one action
    (arXiv:2402.14740). A share of the rows divided so adds up to the step's loss, however it is cut.
    """
    rows = len(lengths)
    match average:
        case "tokens":
            return lengths.sum().expand(rows)
        case "sequences":
            return rows * lengths
        case "constant":
            return torch.full_like(lengths, rows * longest)
        case "sums":
            return torch.full_like(lengths, rows)


def standardised(
    values: Float[Tensor, "batch seq"], response_mask: Bool[Tensor, "batch seq"]
) -> Float[Tensor, "batch seq"]:
    """(value - mean) / (std + 1e-6) over all response tokens, 0 elsewhere; std divides by their number.

    The mean is gone: implementations that add it back whiten returns, not advantages. Exactly 0 where all
    values are equal, for Adam makes full steps of rounding errors.
    """
    inside = values[response_mask]
    if not inside.numel() or bool(inside.amax() == inside.amin()):
        return torch.zeros_like(values)
    scale = inside.std(correction=0) + EPS
    return ((values - inside.mean()) / scale).where(response_mask, 0.0)
