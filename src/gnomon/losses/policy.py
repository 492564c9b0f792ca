"""Policy objectives."""

from jaxtyping import Bool, Float
from torch import Tensor

from gnomon.losses.masking import sequence_sum


def reinforce(
    logps: Float[Tensor, "batch seq"],
    advantages: Float[Tensor, "batch"],
    response_mask: Bool[Tensor, "batch seq"],
) -> Float[Tensor, ""]:
    """-mean_i A_i sum_t log pi(y_it): the whole response is one action (arXiv:2402.14740).

    Its gradient is the policy gradient on samples of the policy itself. Training computes the same from
    hidden states with the fused head and `reinforce_weights`, and tests hold that against this.
    """
    return -(advantages * sequence_sum(logps, response_mask)).mean()


def reinforce_weights(advantages: Float[Tensor, "batch"], sequences: int) -> Float[Tensor, "batch"]:
    """What each token of row i weighs in `reinforce` over a step of `sequences` rows: A_i / sequences."""
    return advantages / sequences
