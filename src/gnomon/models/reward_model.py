"""A reward model: the body of a language model and one score for a whole conversation; or several of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from statistics import fmean, pstdev
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gnomon.distributed import leads
from gnomon.errors import ModelError
from gnomon.kernels.branches import Branches
from gnomon.kernels.head import wide
from gnomon.models.branches import branch_states
from gnomon.models.heads import hidden_states
from gnomon.models.load import LanguageModel, load
from gnomon.models.passes import read_rows
from gnomon.models.save import save_model

HEAD_FILE = "score_head.safetensors"

MEMBER = "member-{}"
"""The folder of the second and each further body of an ensemble, in that of the first."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a row is worth to each member of an ensemble, and the variance that their heads tell on average,
    0 where they tell none."""

    members: tuple[float, ...]
    variance: float = 0.0

    @property
    def value(self) -> float:
        """The mean over the members."""
        return fmean(self.members)

    @property
    def uncertainty(self) -> float:
        """Their standard deviation; 0 for one alone."""
        return pstdev(self.members)

    @property
    def lowest(self) -> float:
        """What the strictest of them gives."""
        return min(self.members)


class Outputs(NamedTuple):
    """What the heads say of rows, [rows, heads] each; `variances` is None where they tell none."""

    means: Tensor
    variances: Tensor | None


class RewardModel(nn.Module):
    """score = (w . h(last real token) + b - slope * tokens - shift) / scale, in float32; the mean of `heads`.

    The heads start at zero: every pair at a margin of 0, the loss at log 2. The published start, a standard
    deviation of 1/sqrt(d+1) (arXiv:1909.08593), is a preference drawn by chance, of size 3 on the default
    model, and what few comparisons leave of it is in every score. With `variance` each head has a second
    output, the logarithm of its score's variance. Shift, slope and scale are set when training is over.
    """

    def __init__(self, lm: LanguageModel, *, heads: int = 1, variance: bool = False) -> None:
        super().__init__()
        self.body, self.heads, self.variance = lm.model, heads, variance
        width = int(lm.model.config.get_text_config().hidden_size)
        outputs = heads * (1 + variance)
        self.score = nn.Linear(width, outputs, device=lm.device, dtype=wide(lm.model.dtype))
        for parameter in self.score.parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("shift", torch.zeros(heads, device=lm.device))
        self.register_buffer("slope", torch.zeros(heads, device=lm.device))
        self.register_buffer("scale", torch.ones((), device=lm.device))
        self.shift: Tensor
        self.slope: Tensor
        self.scale: Tensor

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Scores [batch] of right-padded rows [batch, seq]."""
        hidden = hidden_states(self.body, input_ids, attention_mask)
        lengths = attention_mask.sum(dim=1)
        final = hidden[torch.arange(hidden.shape[0], device=hidden.device), lengths - 1]
        return self.calibrated(self.outputs(final), lengths).means.mean(dim=1)

    def outputs(self, final: Tensor) -> Outputs:
        """What the heads say, as they are trained, of rows whose last real tokens have the states `final`
        [rows, width]."""
        said = self.score(final.to(self.score.weight.dtype))
        return Outputs(said[:, : self.heads], said[:, self.heads :].exp() if self.variance else None)

    def calibrated(self, said: Outputs, tokens: Tensor) -> Outputs:
        """The same as it is used: rid of length, shifted and scaled. `tokens` [rows] are of whole rows."""
        means = (said.means - self.slope * tokens[:, None] - self.shift) / self.scale
        return Outputs(means, None if said.variances is None else said.variances / self.scale**2)


@dataclass
class Scorer:
    """A reward model with the language model whose ids it reads; `others` are members with bodies of their
    own, of the same architecture."""

    lm: LanguageModel
    model: RewardModel
    micro_tokens: int = 4096
    others: tuple[RewardModel, ...] = ()

    @property
    def models(self) -> tuple[RewardModel, ...]:
        """Every body with its heads."""
        return (self.model, *self.others)

    @property
    def module(self) -> nn.Module:
        """What is trained."""
        return nn.ModuleList(self.models) if self.others else self.model

    def score(self, rows: Sequence[Sequence[int]]) -> list[float]:
        """The score of each row of ids: a prompt and its response, turn end included."""
        return [score.value for score in self.scores(rows)]

    def scores(self, rows: Sequence[Sequence[int]]) -> list[Score]:
        """The same with what each member says."""
        said = [self._said(model, rows) for model in self.models]
        return [
            Score(tuple(value for members, _ in each for value in members), fmean(own for _, own in each))
            for each in zip(*said, strict=True)
        ]

    def chance(self, first: Score, second: Score) -> float:
        """The probability that the first is the better, by the model that was fitted."""
        margin = first.value - second.value
        if self.model.variance:
            return 0.5 * math.erfc(-margin / math.sqrt(2 * (first.variance + second.variance)))
        return 0.5 + 0.5 * math.tanh(float(self.model.scale) * margin / 2)

    def _said(self, model: RewardModel, rows: Sequence[Sequence[int]]) -> list[tuple[list[float], float]]:
        """What one body's heads give each row, and their mean variance."""

        def read(batch: Branches) -> list[tuple[int, tuple[list[float], float]]]:
            final = branch_states(model.body, batch)[batch.ends()]
            tokens = torch.tensor([len(places) for places in batch.places.values()], device=final.device)
            means, variances = model.calibrated(model.outputs(final), tokens)
            spread = torch.zeros_like(means) if variances is None else variances
            told = zip(means.tolist(), spread.mean(dim=1).tolist(), strict=True)
            return list(zip(batch.places, told, strict=True))

        result = dict(chain.from_iterable(read_rows(self.lm, rows, self.micro_tokens, read, model)))
        return [result[i] for i in range(len(rows))]


def save_scorer(scorer: Scorer, folder: Path, card: str) -> None:
    """Write each body (adapters or full weights) and its heads; all processes call it."""
    for number, model in enumerate(scorer.models, start=1):
        place = folder if number == 1 else folder / MEMBER.format(number)
        save_model(replace(scorer.lm, model=model.body), place, card)
        if leads():
            head = {
                "weight": model.score.weight.detach().contiguous(),
                "bias": model.score.bias.detach(),
                "shift": model.shift,
                "slope": model.slope,
                "scale": model.scale.reshape(1),
            }
            save_file(head, place / HEAD_FILE)


def load_scorer(folder: Path, *, dtype: str = "bfloat16", device: str | None = None) -> Scorer:
    """Read what `save_scorer` wrote; what the bodies have in common is held once."""
    lm, model = _load_model(folder, dtype, device)
    others: list[RewardModel] = []
    for number in count(2):
        place = folder / MEMBER.format(number)
        if not place.is_dir():
            break
        _, other = _load_model(place, dtype, device)
        share_frozen(model, other)
        others.append(other)
    return Scorer(lm, model, others=tuple(others))


def _load_model(folder: Path, dtype: str, device: str | None) -> tuple[LanguageModel, RewardModel]:
    lm = load(f"path:{folder}", dtype=dtype, device=device)
    head = load_head(folder)
    heads = head["shift"].numel()
    model = RewardModel(lm, heads=heads, variance=len(head["bias"]) == 2 * heads)
    with torch.no_grad():
        model.score.weight.copy_(head["weight"])
        model.score.bias.copy_(head["bias"])
        model.shift.copy_(head["shift"])
        model.slope.copy_(head["slope"])
        model.scale.copy_(head["scale"][0])
    return lm, model.eval()


def load_head(folder: Path) -> dict[str, Tensor]:
    """The heads of a saved reward model by the names of `RewardModel`; ModelError where there are none."""
    try:
        head: dict[str, Tensor] = load_file(folder / HEAD_FILE)
    except (OSError, SafetensorError) as problem:
        raise ModelError(
            f"{folder / HEAD_FILE} cannot be read: {problem}; train the reward model again"
        ) from problem
    # written before length and scale were taken out
    return {"slope": torch.zeros_like(head["shift"]), "scale": torch.ones(1)} | head


def share_frozen(one: nn.Module, other: nn.Module) -> None:
    """Let the other module hold the weights of the first where neither trains and both are the same."""
    known = dict(one.named_parameters())
    for name, parameter in other.named_parameters():
        same = known.get(name)
        if same is None or same.requires_grad or parameter.requires_grad or same.shape != parameter.shape:
            continue
        if torch.equal(same, parameter):
            parameter.data = same.data
