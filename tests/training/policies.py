"""Policy optimisation with all its parts on the tiny model: a critic, several updates, thresholds."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from objectives import ADAPTERS, Built, build, low, tiny

from gnomon.models.critic import Critic, ValueModel
from gnomon.models.load import LanguageModel
from gnomon.models.lora import add_lora
from gnomon.rewards.combine import Reward, Term, Terms
from gnomon.rollouts.engine import Sample
from gnomon.settings.policy import RewardTerm

PPO = {"algorithm": "ppo", "epochs": 2, "minibatches": 2, "steps": 3}


def brief(samples: Sequence[Sample]) -> list[float]:
    """How few of each response's tokens are even."""
    return [-sum(token % 2 == 0 for token in s.response_ids) / len(s.response_ids) for s in samples]


def terms(*rewards: tuple[Reward, dict[str, Any]]) -> Terms:
    """Rewards with what a recipe would say of them."""
    return Terms(tuple(Term(RewardTerm(source="model", **own), reward) for reward, own in rewards))


def with_critic(
    built: Built, *, dtype: str = "float32", base: Callable[[str], LanguageModel] = tiny, outputs: int = 1
) -> Built:
    """The same with a critic whose head is drawn, trained beside the policy."""
    lm = add_lora(base(dtype), ADAPTERS, seed=2)
    model = ValueModel(lm, outputs)
    with torch.no_grad():
        model.value.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(3))
    built.objective.critic = Critic(lm, model)
    return Built(built.objective.module, built.objective, built.settings, built.objective.apart)


def full(dtype: str = "float32", *, optim: dict[str, Any] | None = None, **policy: Any) -> Built:
    """PPO with everything that has a state: adaptive beta, a multiplier, scaled rewards, a critic of two."""
    limit = {"name": "odd", "at_most": -0.6}
    own = PPO | {
        "rewards": [{"source": "model", "name": "low"}, {"source": "model", **limit}],
        "kl": {"target": 0.5, "horizon": 50},
        "scale_rewards": True,
        "beta": 0.3,
        "kl_budget": 1e9,
    }
    reward = terms((low, {"name": "low"}), (brief, limit))
    optim = {"batch_size": 8, "micro_tokens": 160} | (optim or {})
    built = build("policy", dtype=dtype, policy=own | policy, reward=reward, optim=optim)
    return with_critic(built, dtype=dtype, outputs=2)
