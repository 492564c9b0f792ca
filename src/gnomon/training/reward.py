"""Reward modelling: Bradley-Terry on comparisons, both answers of a pair after one prompt."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from gnomon.config import RewardSettings
from gnomon.data.collate import Epochs
from gnomon.errors import DataError
from gnomon.kernels.batching import by_length
from gnomon.kernels.branches import Group, lay_out
from gnomon.losses.reward import bradley_terry, centring, smoothed
from gnomon.models.branches import branch_states, groups_of
from gnomon.models.load import LanguageModel
from gnomon.models.reward_model import Scorer
from gnomon.records import Comparison, EncodedRow
from gnomon.training.objective import Micro, StepWork


@dataclass(frozen=True)
class EncodedPair:
    """Both answers after the same prompt, and how likely the first is the better."""

    id: str
    first: EncodedRow
    second: EncodedRow
    preference: float
    weight: float

    @property
    def length(self) -> int:
        """Tokens of the longer of the two."""
        return max(len(self.first.ids), len(self.second.ids))


@dataclass(frozen=True)
class EncodedPairs:
    """Pairs ready for training, and how many could not be used, by reason."""

    pairs: tuple[EncodedPair, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)


def encode_comparisons(lm: LanguageModel, comparisons: Iterable[Comparison], max_length: int) -> EncodedPairs:
    """Encode labelled pairs; a pair without a label or too long is dropped and counted."""
    pairs: list[EncodedPair] = []
    dropped: dict[str, int] = {}
    for row in comparisons:
        if row.label is None:
            dropped["no label"] = dropped.get("no label", 0) + 1
            continue
        first, second = (lm.encode(row.prompt.then(*answer)) for answer in (row.first, row.second))
        pair = EncodedPair(row.id, first, second, row.label.preference, row.label.weight)
        if pair.length > max_length:
            reason = f"longer than {max_length} tokens"
            dropped[reason] = dropped.get(reason, 0) + 1
            continue
        pairs.append(pair)
    if not pairs:
        raise DataError(f"no comparison can be trained on ({dropped or 'there is none'}); check the data")
    return EncodedPairs(tuple(pairs), dropped)


class RewardModelling:
    """Mean over the step's pairs of the Bradley-Terry loss, plus the centring term."""

    def __init__(self, scorer: Scorer, data: EncodedPairs, settings: RewardSettings, seed: int) -> None:
        self.scorer, self.pairs, self.settings = scorer, data.pairs, settings
        lengths, optim = [pair.length for pair in data.pairs], settings.optim
        self.order = Epochs(lengths, optim.batch_size, optim.epochs, seed)
        self.steps = self.order.steps

    def prepare(self, step: int) -> StepWork:
        """The step's pairs, cut into micro-batches of like length."""
        chosen = [self.pairs[i] for i in self.order.at(step)]
        total = sum(pair.weight for pair in chosen)
        micros: list[Micro] = []
        for rows in (1, 2):  # of a pair that shares its prompt, and of one that does not
            own = [pair for pair in chosen if len(self._groups(pair)) == rows]
            lengths = [max(group.length for group in self._groups(pair)) for pair in own]
            picks = by_length(lengths, self.settings.optim.micro_tokens // rows)
            micros += [self._micro([own[i] for i in picked], total) for picked in picks]
        return StepWork(micros, {"epoch": step / self.order.per_epoch})

    def loss(self, micro: Micro) -> tuple[Tensor, dict[str, float]]:
        """This micro-batch's part of the step's mean."""
        batch, preference, weights = micro.tensors
        model = self.scorer.model
        final = branch_states(model.body, batch)[batch.ends()]
        first, second = model.read(final).view(-1, 2).unbind(dim=1)
        margin = first - second
        losses = bradley_terry(margin, smoothed(preference, self.settings.label_smoothing))
        losses = losses + self.settings.centring * centring(first, second)
        right = ((margin > 0) == (preference > 0.5)).float()
        metrics = {
            "reward/accuracy": float((weights * right).sum()),
            "reward/margin": float((weights * margin.detach() * (2 * preference - 1)).sum()),
        }
        return (weights * losses).sum(), metrics

    def state_dict(self) -> dict[str, Any]:
        """Nothing: order and rows follow from seed and step."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""

    def _groups(self, pair: EncodedPair) -> list[Group]:
        both = [pair.first.ids, pair.second.ids]
        return groups_of(self.scorer.lm, both, self.settings.optim.micro_tokens)

    def _micro(self, pairs: Sequence[EncodedPair], total: float) -> Micro:
        lm = self.scorer.lm
        rows = [row.ids for pair in pairs for row in (pair.first, pair.second)]
        groups = [
            replace(group, members=tuple(tuple(2 * k + i for i in same) for same in group.members))
            for k, pair in enumerate(pairs)
            for group in self._groups(pair)
        ]
        batch = lay_out(rows, groups, lm.pad_id, lm.device)
        preference = torch.tensor([pair.preference for pair in pairs], device=lm.device)
        weights = torch.tensor([pair.weight / total for pair in pairs], device=lm.device)
        ids = tuple(pair.id for pair in pairs)
        return Micro(ids, (batch, preference, weights), sum(map(len, rows)))


def score_comparisons(scorer: Scorer, comparisons: Sequence[Comparison]) -> tuple[list[float], list[float]]:
    """Scores of the first and of the second answers."""
    rows = [
        scorer.lm.encode(row.prompt.then(*answer)).ids
        for row in comparisons
        for answer in (row.first, row.second)
    ]
    scores = scorer.score(rows)
    return scores[::2], scores[1::2]
