"""How far a policy is from its reference, estimated on its own samples."""

import torch
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


def k3(log_ratios: Float[Tensor, "*tokens"]) -> Float[Tensor, "*tokens"]:
    """pi_ref/pi - log(pi_ref/pi) - 1 of each token's log pi - log pi_ref, in nats (arXiv:2402.03300, eq. 4).

    As a value it is unbiased on samples of pi, and never negative. As a loss its gradient on such samples is
    that of the divergence the other way round, KL(pi_ref || pi): its optimum is not that of `kl_penalised`.
    """
    return torch.expm1(-log_ratios) + log_ratios


def kl_penalised(
    scores: Float[Tensor, "batch"], kl: Float[Tensor, "batch"], beta: float
) -> Float[Tensor, "batch"]:
    """The reward of KL-regularised optimisation: score - beta * KL (arXiv:1909.08593, eq. 2)."""
    return scores - beta * kl
