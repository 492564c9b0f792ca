"""Instruction tuning."""

from jaxtyping import Bool, Float
from torch import Tensor

from gnomon.losses.masking import token_mean


def cross_entropy(
    logps: Float[Tensor, "batch seq"], response_mask: Bool[Tensor, "batch seq"]
) -> Float[Tensor, ""]:
    """Mean of -log p over response tokens, in nats.

    Training computes the same from hidden states with the fused head, and tests hold that against this.
    """
    return -token_mean(logps, response_mask)
