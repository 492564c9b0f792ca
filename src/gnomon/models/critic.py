"""A critic: the body of a language model and, before each token of a response, what is to be expected."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gnomon.kernels.head import wide
from gnomon.models.load import LanguageModel
from gnomon.models.logps import of_responses
from gnomon.models.reward_model import RewardModel


class ValueModel(nn.Module):
    """values = W . h + b in float32, one for each thing that is paid or kept to a threshold; 0 at first."""

    def __init__(self, lm: LanguageModel, outputs: int = 1) -> None:
        super().__init__()
        self.body = lm.model
        width = int(lm.model.config.get_text_config().hidden_size)
        self.value = nn.Linear(width, outputs, device=lm.device, dtype=wide(lm.model.dtype))
        for parameter in self.value.parameters():
            nn.init.zeros_(parameter)

    @torch.no_grad()
    def take(self, reward: RewardModel) -> None:
        """Take a reward model's head for the first value: that of what has been said is then the score it
        would have if it ended there, where the body is the reward model's too."""
        self.value.weight[0].copy_(reward.score.weight[0])
        self.value.bias[0].copy_(reward.score.bias[0] - reward.shift)

    def read(self, states: Tensor) -> Tensor:
        """Values [tokens, outputs] of the states [tokens, width] that tokens follow from."""
        values: Tensor = self.value(states.to(self.value.weight.dtype))
        return values


@dataclass
class Critic:
    """A value model with the language model whose ids it reads, which are the policy's."""

    lm: LanguageModel
    model: ValueModel

    @torch.no_grad()
    def values(self, prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]) -> list[Tensor]:
        """Of each response the values [tokens, outputs] before its tokens, on the CPU."""
        read = of_responses(self.lm, prompts, responses, lambda states, labels: (self.model.read(states),))
        return [values for (values,) in read]
