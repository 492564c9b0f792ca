"""Policies whose proxy pays for too much of a good thing, with what watches them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from objectives import Built, build, low

from gnomon.records import Conversation
from gnomon.rollouts.engine import Sample
from gnomon.training.loop import Evaluation
from gnomon.training.samples import PolicyPrompts

ASIDE = tuple(f"Say {word}." for word in ("one", "two", "three", "four", "five", "six", "ten", "none", "all"))


def enough(samples: Sequence[Sample]) -> list[float]:
    """Likes what the proxy `low` pays for until it is three fifths of a response, and less beyond that."""
    return [-((share - 0.6) ** 2) for share in low(samples)]


def guarded(
    dtype: str = "float32",
    *,
    best: str | None = None,
    optim: dict[str, Any] | None = None,
    **policy: Any,
) -> Built:
    """Policy optimisation with evaluation points on prompts of their own, watched by `enough`."""
    own = {"samples": 8, "beta": 0.0, "kl_budget": None, "guards": {"every": 1}}
    optim = {"batch_size": 32, "lr": 5e-3, "schedule": "constant", "checkpoint_every": 2} | (optim or {})
    built = build("policy", dtype=dtype, lora=None, optim=optim, policy=own | policy)
    it = built.objective
    it.watch = enough
    rows = tuple(tuple(it.lm.encode_prompt(Conversation.of(text))) for text in ASIDE)
    it.set_aside(PolicyPrompts(ASIDE, rows))
    every = it.settings.guards.every * it.settings.updates
    return replace(built, evaluation=Evaluation(every, it.evaluate, first=True, best=best))
