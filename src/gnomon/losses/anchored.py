"""Preferences as a verdict on each answer by itself, measured against an anchor and not against the other."""

import torch
from jaxtyping import Float
from torch import Tensor

from gnomon.losses.preference import PairLogps, expected


def kto_baseline(ratios: Float[Tensor, "rows"]) -> Float[Tensor, ""]:
    """max(0, mean of log pi - log pi_ref over answers that belong to other prompts), without gradient.

    The reference point z_0 of arXiv:2402.01306, which estimates KL(pi || pi_ref) by mismatched answers:
    biased, and cut off at 0, as there. Without any row it is 0.
    """
    return (ratios.detach().sum() / max(1, len(ratios))).clamp(min=0)


def kto(
    ratios: Float[Tensor, "answers"],
    desirable: Float[Tensor, "answers"],
    baseline: Float[Tensor, ""],
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Float[Tensor, "answers"]:
    """q w_D (1 - s(beta (r - z))) + (1 - q) w_U (1 - s(beta (z - r))) of each answer, q = P(desirable).

    Kahneman-Tversky optimisation, arXiv:2402.01306: lambda_y - v with r = log pi - log pi_ref of the answer
    and z = baseline, through which no gradient flows. Answers need no partner; q is 0 or 1 there.
    """
    gain = beta * (ratios - baseline.detach())
    better, worse = desirable_weight * torch.sigmoid(-gain), undesirable_weight * torch.sigmoid(gain)
    return desirable * better + (1 - desirable) * worse


def apo_zero(logps: PairLogps, preference: Float[Tensor, "pairs"], *, beta: float) -> Float[Tensor, "pairs"]:
    """1 - s(beta r_better) + s(beta r_worse), r = log pi - log pi_ref: better answers become likelier.

    Anchored preference optimisation, arXiv:2408.06266, eq. 7, for answers better than the model's own.
    """

    def hard(pair: PairLogps) -> Float[Tensor, "pairs"]:
        return torch.sigmoid(-beta * pair.first_ratio) + torch.sigmoid(beta * pair.second_ratio)

    return expected(hard, logps, preference)


def apo_down(logps: PairLogps, preference: Float[Tensor, "pairs"], *, beta: float) -> Float[Tensor, "pairs"]:
    """s(beta r_better) + 1 - s(beta (r_better - r_worse)): both become less likely, the worse one faster.

    Anchored preference optimisation, arXiv:2408.06266, eq. 8, for answers worse than the model's own.
    """

    def hard(pair: PairLogps) -> Float[Tensor, "pairs"]:
        return torch.sigmoid(beta * pair.first_ratio) + torch.sigmoid(-beta * pair.margin)

    return expected(hard, logps, preference)
