"""Comparisons as both objectives on pairs read them: encoded once, cut into micro-batches of like length."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from gnomon.data.collate import Batch, collate
from gnomon.errors import DataError
from gnomon.kernels.batching import by_length
from gnomon.models.load import LanguageModel
from gnomon.records import Comparison, EncodedRow
from gnomon.training.objective import Micro


@dataclass(frozen=True)
class EncodedPair:
    """Both answers after the same prompt, and how likely the first is the better.

    The masks cover the answers alone, not the assistant's earlier turns.
    """

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


class PairBatch(NamedTuple):
    """Rows [2 * pairs, seq], all first answers before all second ones. Weights add up to 1 over the step."""

    rows: Batch
    preference: Tensor
    weights: Tensor
    indices: tuple[int, ...]


def encode_comparisons(lm: LanguageModel, comparisons: Iterable[Comparison], max_length: int) -> EncodedPairs:
    """Encode labelled pairs; one that cannot be used is dropped and counted."""
    pairs: list[EncodedPair] = []
    dropped: dict[str, int] = {}
    for row in comparisons:
        pair = _encoded(lm, row, max_length)
        if isinstance(pair, str):
            dropped[pair] = dropped.get(pair, 0) + 1
        else:
            pairs.append(pair)
    if not pairs:
        raise DataError(f"no comparison can be trained on ({dropped or 'there is none'}); check the data")
    return EncodedPairs(tuple(pairs), dropped)


def _encoded(lm: LanguageModel, row: Comparison, max_length: int) -> EncodedPair | str:
    """The pair, or why it cannot be trained on."""
    if row.label is None:
        return "no label"
    prompt = tuple(lm.encode_prompt(row.prompt))
    answers = []
    for turns in (row.first, row.second):
        whole = lm.encode(row.prompt.then(*turns))
        if len(whole.ids) > max_length:
            return f"longer than {max_length} tokens"
        mask = (False,) * len(prompt) + whole.response_mask[len(prompt) :]
        if whole.ids[: len(prompt)] != prompt or not any(mask):
            return "an answer without a trained turn of the assistant"
        answers.append(EncodedRow(whole.ids, mask))
    first, second = answers
    return EncodedPair(row.id, first, second, row.label.preference, row.label.weight)


def pair_micros(
    lm: LanguageModel, pairs: Sequence[EncodedPair], chosen: Sequence[int], micro_tokens: int
) -> list[Micro]:
    """A step's pairs, those `chosen` of all, in micro-batches of like length."""
    total = sum(pairs[i].weight for i in chosen)
    # a pair is two rows, so half the tokens make a micro-batch
    groups = by_length([pairs[i].length for i in chosen], micro_tokens // 2)
    return [_micro(lm, pairs, [chosen[k] for k in group], total) for group in groups]


def collate_pairs(lm: LanguageModel, pairs: Sequence[EncodedPair]) -> Batch:
    """Rows [2 * pairs, seq]: all first answers, then all second ones."""
    rows = [pair.first for pair in pairs] + [pair.second for pair in pairs]
    return collate(rows, lm.pad_id, lm.device)


def _micro(lm: LanguageModel, pairs: Sequence[EncodedPair], group: Sequence[int], total: float) -> Micro:
    chosen = [pairs[i] for i in group]
    preference = torch.tensor([pair.preference for pair in chosen], device=lm.device)
    weights = torch.tensor([pair.weight / total for pair in chosen], device=lm.device)
    batch = PairBatch(collate_pairs(lm, chosen), preference, weights, tuple(group))
    tokens = sum(len(pair.first.ids) + len(pair.second.ids) for pair in chosen)
    return Micro(tuple(pair.id for pair in chosen), batch, tokens)
