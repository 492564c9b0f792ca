"""How far a policy is from its reference, estimated on its own samples."""

from jaxtyping import Bool, Float
from torch import Tensor

from gnomon.losses.masking import sequence_sum


def sequence_kl(
    logps: Float[Tensor, "batch seq"],
    ref_logps: Float[Tensor, "batch seq"],
    response_mask: Bool[Tensor, "batch seq"],
) -> Float[Tensor, "batch"]:
    """k1: the sum of log pi - log pi_ref over a sampled response, in nats a sequence.

    Unbiased on samples of pi, negative for single samples, and never clamped: clamping biases it. Training
    sums each response's log-probabilities without padding, and tests hold that against this.
    """
    return sequence_sum(logps - ref_logps, response_mask)


def kl_penalised(
    scores: Float[Tensor, "batch"], kl: Float[Tensor, "batch"], beta: float
) -> Float[Tensor, "batch"]:
    """The reward of KL-regularised optimisation: score - beta * KL (arXiv:1909.08593, eq. 2)."""
    return scores - beta * kl
