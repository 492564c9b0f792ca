"""Weights that follow what is measured: of KL towards a target, of constraints while they are broken."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

MOST_OFF = 0.2
"""How far off its target KL may be and still be told from farther."""


def adapted_beta(beta: float, kl: float, *, target: float, samples: int, horizon: int) -> float:
    """beta (1 + clip(KL / target - 1, -0.2, 0.2) samples / horizon): arXiv:1909.08593, section 2.2.

    KL and its target are in nats a sequence; at the target beta stays, and `horizon` samples that are 20 %
    or more off change it by about a fifth.
    """
    off = min(max(kl / target - 1, -MOST_OFF), MOST_OFF)
    return beta * (1 + off * samples / horizon)


def constrained(
    advantages: Float[Tensor, "*tokens"], costs: Sequence[Float[Tensor, "*tokens"]], lambdas: Sequence[float]
) -> Float[Tensor, "*tokens"]:
    """(A - sum_j lambda_j A_j) / (1 + sum_j lambda_j), A_j the advantages in what is to stay low.

    With one cost as in arXiv:2310.12773: dividing keeps the step's size while a multiplier grows. With
    -beta KL in the reward and +beta KL in every cost, KL weighs beta whatever the multipliers are.
    """
    total = torch.clone(advantages)
    for cost, weight in zip(costs, lambdas, strict=True):
        total = total - weight * cost
    return total / (1 + sum(lambdas))


def raised(log_lambda: float, excess: float, *, lr: float, most: float) -> float:
    """One step of SGD on log lambda up lambda * excess, at most to log `most` (arXiv:2310.12773).

    `excess` is the mean cost above what is allowed: positive where the constraint is broken.
    """
    return min(log_lambda + lr * excess * math.exp(log_lambda), math.log(most))
