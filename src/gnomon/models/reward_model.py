"""A reward model: the body of a language model and one score for a whole conversation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gnomon.distributed import leads
from gnomon.errors import ModelError
from gnomon.kernels.head import wide
from gnomon.models.branches import batches, branch_states
from gnomon.models.heads import hidden_states, without_dropout
from gnomon.models.load import LanguageModel, load
from gnomon.models.save import save_model
from gnomon.models.shards import evenly

HEAD_FILE = "score_head.safetensors"


class RewardModel(nn.Module):
    """score = w . h(last real token) + b - shift, in float32.

    The head starts at zero: every pair at a margin of 0, the loss at log 2. The published start, a standard
    deviation of 1/sqrt(d+1) (arXiv:1909.08593), is a preference drawn by chance, of size 3 on the default
    model, and what few comparisons leave of it is in every score.
    """

    def __init__(self, lm: LanguageModel) -> None:
        super().__init__()
        self.body = lm.model
        width = int(lm.model.config.get_text_config().hidden_size)
        self.score = nn.Linear(width, 1, device=lm.device, dtype=wide(lm.model.dtype))
        for parameter in self.score.parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("shift", torch.zeros((), device=lm.device))
        self.shift: Tensor

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Scores [batch] of right-padded rows [batch, seq]."""
        hidden = hidden_states(self.body, input_ids, attention_mask)
        last = attention_mask.sum(dim=1) - 1
        return self.read(hidden[torch.arange(hidden.shape[0], device=hidden.device), last])

    def read(self, final: Tensor) -> Tensor:
        """Scores [rows] of rows whose last real tokens have the states `final` [rows, width]."""
        scores: Tensor = self.score(final.to(self.score.weight.dtype)).squeeze(-1) - self.shift
        return scores


@dataclass
class Scorer:
    """A reward model with the language model whose ids it reads."""

    lm: LanguageModel
    model: RewardModel
    micro_tokens: int = 4096

    @torch.no_grad()
    def score(self, rows: Sequence[Sequence[int]]) -> list[float]:
        """The score of each row of ids: a prompt and its response, turn end included."""
        result = [0.0] * len(rows)
        with evenly(self.model, batches(self.lm, rows, self.micro_tokens)) as own:
            for batch in own:
                with without_dropout(self.model):
                    final = branch_states(self.model.body, batch)[batch.ends()]
                for i, value in zip(batch.places, self.model.read(final).tolist(), strict=True):
                    result[i] = value
        return result


def save_scorer(scorer: Scorer, folder: Path, card: str) -> None:
    """Write the body (adapters or full weights) and the score head. All processes call it, the first writes."""
    save_model(scorer.lm, folder, card)
    if not leads():
        return
    head = {
        "weight": scorer.model.score.weight.detach().contiguous(),
        "bias": scorer.model.score.bias.detach(),
        "shift": scorer.model.shift.reshape(1),
    }
    save_file(head, folder / HEAD_FILE)


def load_scorer(folder: Path, *, dtype: str = "bfloat16", device: str | None = None) -> Scorer:
    """Read what `save_scorer` wrote."""
    lm = load(f"path:{folder}", dtype=dtype, device=device)
    try:
        head = load_file(folder / HEAD_FILE)
    except (OSError, SafetensorError) as problem:
        raise ModelError(
            f"{folder / HEAD_FILE} cannot be read: {problem}; train the reward model again"
        ) from problem
    model = RewardModel(lm)
    with torch.no_grad():
        model.score.weight.copy_(head["weight"])
        model.score.bias.copy_(head["bias"])
        model.shift.copy_(head["shift"][0])
    return Scorer(lm, model.eval())
