"""What a sampled response is worth: a reward model's score, less what the recipe takes off."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gnomon.config import PolicySettings
from gnomon.models.reward_model import Scorer
from gnomon.rollouts.engine import Sample


class Reward(Protocol):
    """Scores samples; higher is better. Anything with this shape can be optimised."""

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """One number for each sample."""
        ...


@dataclass(frozen=True)
class ModelReward:
    """The reward model's score on exactly the ids that were sampled."""

    scorer: Scorer

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """Score prompt and response together."""
        return self.scorer.score([[*sample.prompt_ids, *sample.response_ids] for sample in samples])


def shaped(scores: Sequence[float], samples: Sequence[Sample], settings: PolicySettings) -> list[float]:
    """Scores less the penalties for not ending a turn (arXiv:1909.08593 takes 1 off) and for length."""
    return [
        score
        - (0.0 if sample.ended else settings.missing_end)
        - settings.length_penalty * len(sample.response_ids)
        for score, sample in zip(scores, samples, strict=True)
    ]
