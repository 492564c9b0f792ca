"""Reductions over response tokens; the mask is True where a token counts."""

from jaxtyping import Bool, Float
from torch import Tensor


def token_mean(
    values: Float[Tensor, "batch seq"], response_mask: Bool[Tensor, "batch seq"]
) -> Float[Tensor, ""]:
    """Mean over response tokens; every token weighs the same."""
    return values.where(response_mask, 0.0).sum() / response_mask.sum().clamp(min=1)


def sequence_sum(
    values: Float[Tensor, "batch seq"], response_mask: Bool[Tensor, "batch seq"]
) -> Float[Tensor, "batch"]:
    """Sum over each row's response tokens."""
    return values.where(response_mask, 0.0).sum(dim=-1)
