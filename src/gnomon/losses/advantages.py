"""How much better a sample is than what was to be expected."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gnomon.losses.masking import EPS


def equal_rewards(rewards: Float[Tensor, "prompts samples"]) -> Bool[Tensor, "prompts"]:
    """The prompts all of whose samples have the same reward: nothing is learnt from them."""
    return rewards.amax(dim=1) == rewards.amin(dim=1)


def rloo(rewards: Float[Tensor, "prompts samples"]) -> Float[Tensor, "prompts samples"]:
    """Reward minus the mean of its prompt's other samples (Kool et al. 2019; arXiv:2402.14740).

    Equals k/(k-1) times the reward minus the mean of all k; the baseline does not depend on the sample, so
    the policy gradient stays unbiased.
    """
    others = (rewards.sum(dim=1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    return _none_where_equal(rewards - others, rewards)


def grpo(rewards: Float[Tensor, "prompts samples"]) -> Float[Tensor, "prompts samples"]:
    """(r - mean) / (std + 1e-6) over its prompt's samples (arXiv:2402.03300, section 4.1.2).

    std divides by k - 1; neither that nor the 1e-6 is in the paper. It stretches close rewards and shrinks
    far ones, so prompts that are nearly solved or nearly hopeless weigh more than under `rloo`.
    """
    scale = rewards.std(dim=1, keepdim=True) + EPS
    return _none_where_equal((rewards - rewards.mean(dim=1, keepdim=True)) / scale, rewards)


def dr_grpo(rewards: Float[Tensor, "prompts samples"]) -> Float[Tensor, "prompts samples"]:
    """r - mean over its prompt's samples: GRPO without the bias of std (arXiv:2503.20783).

    Equals (k-1)/k times `rloo`.
    """
    return _none_where_equal(rewards - rewards.mean(dim=1, keepdim=True), rewards)


def best(rewards: Float[Tensor, "prompts samples"]) -> Float[Tensor, "prompts samples"]:
    """1 for the first of each prompt's samples with the highest reward, 0 for the others: what rejection
    sampling trains on (RAFT, arXiv:2304.06767). Where all are equal, for none: nothing was chosen."""
    chosen = torch.zeros_like(rewards).scatter(1, rewards.argmax(dim=1, keepdim=True), 1.0)
    unknown = 0.0 * rewards.sum(dim=1, keepdim=True)  # a reward that is no number spoils its group
    return _none_where_equal(chosen + unknown, rewards)


def token_rewards(
    scores: Float[Tensor, "batch"],
    penalties: Float[Tensor, "batch seq"],
    response_mask: Bool[Tensor, "batch seq"],
) -> Float[Tensor, "batch seq"]:
    """-penalty of each response token, and on the last of each row its score too (arXiv:1909.08593).

    Rows hold their tokens first, then padding, where the reward is 0; every row has a token or more.
    """
    rewards = -penalties.where(response_mask, 0.0)
    last = response_mask.sum(dim=1, keepdim=True) - 1
    return rewards.scatter_add(1, last, scores[:, None])


def gae(
    rewards: Float[Tensor, "batch seq"],
    values: Float[Tensor, "batch seq"],
    response_mask: Bool[Tensor, "batch seq"],
    *,
    gamma: float,
    lam: float,
) -> Float[Tensor, "batch seq"]:
    """A_t = delta_t + gamma lam A_t+1, delta_t = r_t + gamma V_t+1 - V_t (arXiv:1506.02438, eq. 16), 0 on
    padding; after a row's last token there is no value and no advantage.

    `values` are of the state before each token. With values of 0 and gamma = lam = 1 it is the reward to go.
    """
    rewards, values = rewards.where(response_mask, 0.0), values.where(response_mask, 0.0)
    following = torch.zeros_like(values)
    following[:, :-1] = values[:, 1:]
    deltas = (rewards + gamma * following - values).where(response_mask, 0.0)
    advantages, ahead = torch.zeros_like(deltas), torch.zeros_like(deltas[:, 0])
    for t in range(deltas.shape[1] - 1, -1, -1):
        ahead = deltas[:, t] + gamma * lam * ahead
        advantages[:, t] = ahead
    return advantages


def _none_where_equal(
    advantages: Float[Tensor, "prompts samples"], rewards: Float[Tensor, "prompts samples"]
) -> Float[Tensor, "prompts samples"]:
    """Exactly 0 where rewards are equal: a mean rounds, and Adam makes full steps of rounding errors."""
    return torch.where(equal_rewards(rewards)[:, None], 0.0, advantages)
