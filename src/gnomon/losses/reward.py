"""Reward models: what a score must do on comparisons."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry(
    margin: Float[Tensor, "pairs"], preference: Float[Tensor, "pairs"]
) -> Float[Tensor, "pairs"]:
    """-[p log s(d) + (1 - p) log s(-d)], d = score of the first minus the second, p = P(first is better).

    Bradley and Terry (1952) as in arXiv:2203.02155, eq. 1, which has p = 1; soft labels are the same
    likelihood with p between 0 and 1.
    """
    return -(preference * logsigmoid(margin) + (1 - preference) * logsigmoid(-margin))


def smoothed(preference: Float[Tensor, "pairs"], epsilon: float) -> Float[Tensor, "pairs"]:
    """What a label is worth when a share epsilon of labels is flipped at random: p(1 - e) + (1 - p)e."""
    return preference * (1 - epsilon) + (1 - preference) * epsilon


def centring(first: Float[Tensor, "pairs"], second: Float[Tensor, "pairs"]) -> Float[Tensor, "pairs"]:
    """(r_1 + r_2)^2: keeps scores around zero, which comparisons alone leave free (arXiv:2312.09244)."""
    return torch.square(first + second)
