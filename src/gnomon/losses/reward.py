"""Reward models: what a score must do on comparisons."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid
from torch.special import log_ndtr


def bradley_terry(
    margin: Float[Tensor, "*pairs"], preference: Float[Tensor, "*pairs"]
) -> Float[Tensor, "*pairs"]:
    """-[p log s(d) + (1 - p) log s(-d)], d = score of the first minus the second, p = P(first is better).

    Bradley and Terry (1952) as in arXiv:2203.02155, eq. 1, which has p = 1; soft labels are the same
    likelihood with p between 0 and 1.
    """
    return -(preference * logsigmoid(margin) + (1 - preference) * logsigmoid(-margin))


def less_lead(
    margin: Float[Tensor, "*pairs"], preference: Float[Tensor, "*pairs"], lead: Float[Tensor, "*pairs"]
) -> Float[Tensor, "*pairs"]:
    """d - m (2p - 1): what is left of the difference once the better answer has led by m.

    In `bradley_terry` it gives -log s(d - m) for p = 1, eq. 2 of arXiv:2307.09288. We depart from it where a
    label is soft, which the paper's are not: as sure as the label is, so much of the lead is asked for.
    """
    return margin - lead * (2 * preference - 1)


def mean_variance(
    margin: Float[Tensor, "*pairs"], variance: Float[Tensor, "*pairs"], preference: Float[Tensor, "*pairs"]
) -> Float[Tensor, "*pairs"]:
    """-[p log F(z) + (1 - p) log F(-z)], z = (m_1 - m_2) / sqrt(v_1 + v_2), F the normal distribution's.

    Distributional preference learning (arXiv:2312.08358): a score is normal with a mean and a variance of its
    own, and `variance` is the sum of both. Nothing tells the unit of either, only their ratio.
    """
    z = margin * torch.rsqrt(variance)
    loss: Tensor = -(preference * log_ndtr(z) + (1 - preference) * log_ndtr(-z))
    return loss


def plackett_luce(
    scores: Float[Tensor, "rankings answers"],
    ranks: Int[Tensor, "rankings answers"],
    present: Bool[Tensor, "rankings answers"],
) -> Float[Tensor, "rankings"]:
    """-log P(order) = sum_i [log sum_{j not above i} exp(s_j) - s_i]: the best is chosen, then the next.

    Plackett (1975) and Luce (1959); rank 1 is the best, and what is not `present` is padding. Of answers that
    share a rank each is chosen while all of them are left, as Breslow (1974) has ties, so that equal scores
    are best for them. With two answers it is `bradley_terry`.
    """
    left = (ranks[:, None, :] >= ranks[:, :, None]) & present[:, None, :] | ~present[:, :, None]
    others = scores[:, None, :].expand(-1, scores.shape[1], -1)
    total = others.masked_fill(~left, -torch.inf).logsumexp(dim=-1)
    return (total - scores).where(present, 0.0).sum(dim=-1)


def smoothed(preference: Float[Tensor, "pairs"], epsilon: float) -> Float[Tensor, "pairs"]:
    """What a label is worth when a share epsilon of labels is flipped at random: p(1 - e) + (1 - p)e."""
    return preference * (1 - epsilon) + (1 - preference) * epsilon


def centring(first: Float[Tensor, "*pairs"], second: Float[Tensor, "*pairs"]) -> Float[Tensor, "*pairs"]:
    """(r_1 + r_2)^2: keeps scores around zero, which comparisons alone leave free (arXiv:2312.09244)."""
    return torch.square(first + second)
