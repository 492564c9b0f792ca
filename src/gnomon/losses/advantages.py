"""How much better a sample is than what was to be expected."""

from jaxtyping import Float
from torch import Tensor


def rloo(rewards: Float[Tensor, "prompts samples"]) -> Float[Tensor, "prompts samples"]:
    """Reward minus the mean of its prompt's other samples (Kool et al. 2019; arXiv:2402.14740).

    Equals k/(k-1) times the reward minus the mean of all k; the baseline does not depend on the sample, so
    the policy gradient stays unbiased.
    """
    others = (rewards.sum(dim=1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    return rewards - others
