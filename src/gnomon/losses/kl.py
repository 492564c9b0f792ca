"""How far a policy is from its reference, estimated on its own samples."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Estimator = Literal["k1", "k2", "k3"]
"""The three of J. Schulman's note on approximating KL (2020); `divergence` says what each is good for."""


def k3(log_ratios: Float[Tensor, "*tokens"]) -> Float[Tensor, "*tokens"]:
    """pi_ref/pi - log(pi_ref/pi) - 1 of each token's log pi - log pi_ref, in nats (arXiv:2402.03300, eq. 4).

    As a value it is unbiased on samples of pi, and never negative. As a loss its gradient on such samples is
    that of the divergence the other way round, KL(pi_ref || pi): its optimum is not that of `kl_penalised`.
    """
    return torch.expm1(-log_ratios) + log_ratios


def divergence(log_ratios: Float[Tensor, "*tokens"], estimator: Estimator) -> Float[Tensor, "*tokens"]:
    """Each token's estimate, in nats, of KL(pi || pi_ref) by its l = log pi - log pi_ref.

    k1 is l, never clamped, which would bias it: right as a value and in the reward; as a loss its expected
    gradient is 0. k2 is l^2/2: wrong as a value by the third order; as a loss on the policy's own samples
    it has the gradient of each token's own KL, and leaves out what a token does to the KL of those after
    it, so it is exact for one token only. k3 is right as a value; in the reward it climbs KL(pi || pi_ref)
    - KL(pi_ref || pi), as a loss see `k3`.
    """
    match estimator:
        case "k1":
            return log_ratios
        case "k2":
            return log_ratios**2 / 2
        case "k3":
            return k3(log_ratios)


def slope(log_ratios: Float[Tensor, "*tokens"], estimator: Estimator) -> Float[Tensor, "*tokens"]:
    """The derivative of `divergence` by log pi: 1, l, and 1 - pi_ref/pi."""
    match estimator:
        case "k1":
            return torch.ones_like(log_ratios)
        case "k2":
            return log_ratios
        case "k3":
            return -torch.expm1(-log_ratios)


def kl_penalised(
    scores: Float[Tensor, "batch"], kl: Float[Tensor, "batch"], beta: float
) -> Float[Tensor, "batch"]:
    """The reward of KL-regularised optimisation: score - beta * KL (arXiv:1909.08593, eq. 2)."""
    return scores - beta * kl
