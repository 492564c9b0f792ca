"""Losses as their papers write them down, in plain torch: of preferences, for a better and a worse answer; of
samples [batch] and of their tokens [batch, seq], of which a mask says which are there."""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Answer(NamedTuple):
    """Log-probs of whole answers under policy and reference, and how many tokens they have."""

    policy: Any
    reference: Any
    tokens: Any

    @property
    def ratio(self) -> Tensor:
        return self.policy - self.reference


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def dpo(better: Answer, worse: Answer, beta: float) -> Tensor:
    return -torch.log(sigmoid(beta * better.ratio - beta * worse.ratio))


def robust_dpo(better: Answer, worse: Answer, beta: float, flips: float) -> Tensor:
    told, opposite = dpo(better, worse, beta), dpo(worse, better, beta)
    return ((1 - flips) * told - flips * opposite) / (1 - 2 * flips)


def ipo(better: Answer, worse: Answer, beta: float, *, average: bool) -> Tensor:
    one, other = (answer.ratio / (answer.tokens if average else 1) for answer in (better, worse))
    return (one - other - 1 / (2 * beta)) ** 2


def hinge(better: Answer, worse: Answer, beta: float) -> Tensor:
    left = 1 - (beta * better.ratio - beta * worse.ratio)
    return torch.where(left > 0, left, 0 * left)


def slic(better: Answer, worse: Answer, delta: float) -> Tensor:
    left = delta - better.policy + worse.policy
    return torch.where(left > 0, left, 0 * left)


def cpo(better: Answer, worse: Answer, beta: float) -> Tensor:
    return -torch.log(sigmoid(beta * better.policy - beta * worse.policy))


def simpo(better: Answer, worse: Answer, beta: float, gamma: float) -> Tensor:
    one, other = (beta / answer.tokens * answer.policy for answer in (better, worse))
    return -torch.log(sigmoid(one - other - gamma))


def odds_ratio(better: Answer, worse: Answer, odds_weight: float) -> Tensor:
    one, other = (torch.exp(answer.policy / answer.tokens) for answer in (better, worse))
    ratio = (one / (1 - one)) / (other / (1 - other))
    return -odds_weight * torch.log(sigmoid(torch.log(ratio)))


def preferred_nll(better: Answer, worse: Answer) -> Tensor:
    return -better.policy / better.tokens


def kto(
    better: Answer,
    worse: Answer,
    baseline: float,
    beta: float,
    desirable_weight: float,
    undesirable_weight: float,
) -> Tensor:
    gained = desirable_weight * sigmoid(beta * (better.ratio - baseline))
    lost = undesirable_weight * sigmoid(beta * (baseline - worse.ratio))
    return (desirable_weight - gained + undesirable_weight - lost) / 2


def apo_zero(better: Answer, worse: Answer, beta: float) -> Tensor:
    return 1 - sigmoid(beta * better.ratio) + sigmoid(beta * worse.ratio)


def apo_down(better: Answer, worse: Answer, beta: float) -> Tensor:
    return sigmoid(beta * better.ratio) + 1 - sigmoid(beta * (better.ratio - worse.ratio))


def r_dpo(better: Answer, worse: Answer, beta: float, length_penalty: float) -> Tensor:
    rewards = [beta * answer.ratio + length_penalty * answer.tokens for answer in (better, worse)]
    return -torch.log(sigmoid(rewards[0] - rewards[1]))


def sequence_sum(values: Tensor, response_mask: Tensor) -> Tensor:
    return values.where(response_mask, 0.0).sum(dim=-1)


def cross_entropy(logps: Tensor, response_mask: Tensor) -> Tensor:
    return -sequence_sum(logps, response_mask).sum() / response_mask.sum()


def reinforce(logps: Tensor, advantages: Tensor, response_mask: Tensor) -> Tensor:
    return -(advantages * sequence_sum(logps, response_mask)).mean()


def grpo(
    logps: Tensor,
    ref_logps: Tensor,
    advantages: Tensor,
    response_mask: Tensor,
    *,
    beta: float,
    divisor: int | None = None,
) -> Tensor:
    """arXiv:2402.03300, eq. 3, without its clip; with a `divisor` arXiv:2503.20783."""
    ratio, behind = torch.exp(logps - logps.detach()), ref_logps - logps
    each = ratio * advantages[:, None] - beta * (torch.exp(behind) - behind - 1)
    lengths = response_mask.sum(dim=1) if divisor is None else divisor
    return -(sequence_sum(each, response_mask) / lengths).mean()
