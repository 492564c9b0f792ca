"""How much better a sample is than what was to be expected."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

EPS = 1e-6
"""Beside a standard deviation, where rewards nearly agree."""


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


def _none_where_equal(
    advantages: Float[Tensor, "prompts samples"], rewards: Float[Tensor, "prompts samples"]
) -> Float[Tensor, "prompts samples"]:
    """Exactly 0 where rewards are equal: a mean rounds, and Adam makes full steps of rounding errors."""
    return torch.where(equal_rewards(rewards)[:, None], 0.0, advantages)
