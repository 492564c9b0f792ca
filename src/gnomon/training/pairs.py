"""Comparisons as both objectives on pairs read them: encoded, and laid out with each prompt once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from gnomon.errors import DataError
from gnomon.kernels.branches import Branches, Group, in_turn, lay_out
from gnomon.models.branches import groups_of
from gnomon.models.lanes import cut
from gnomon.models.load import LanguageModel
from gnomon.records import Comparison, Conversation, EncodedRow
from gnomon.training.objective import Micro


@dataclass(frozen=True)
class EncodedPair:
    """Both answers after the same prompt, and how likely the first is the better.

    The masks cover the answers alone, not the assistant's earlier turns. `ranking` and `strength` are the
    label's.
    """

    id: str
    first: EncodedRow
    second: EncodedRow
    preference: float
    weight: float
    ranking: str | None = None
    strength: float | None = None

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
    """Pairs laid out for one forward pass: rows 2k and 2k + 1 are the first and the second answer of pair k.

    Weights add up to 1 over the step; `indices` are the pairs' places among all of them.
    """

    rows: Branches
    response_masks: tuple[tuple[bool, ...], ...]
    preference: Tensor
    weights: Tensor
    indices: tuple[int, ...]

    @property
    def tokens(self) -> Tensor:
        """Trained tokens [pairs, 2] of both answers."""
        counts = [sum(trained) for trained in self.response_masks]
        return torch.tensor(counts, device=self.weights.device).view(-1, 2)


def encode_comparisons(lm: LanguageModel, comparisons: Iterable[Comparison], max_length: int) -> EncodedPairs:
    """Encode labelled pairs to train on, as `usable_comparisons` does; DataError where none can be used."""
    data = usable_comparisons(lm, comparisons, max_length)
    if not data.pairs:
        raise DataError(
            f"no comparison can be trained on ({data.dropped or 'there is none'}); check the data"
        )
    return data


def usable_comparisons(lm: LanguageModel, comparisons: Iterable[Comparison], max_length: int) -> EncodedPairs:
    """Encode labelled pairs; one that cannot be used is dropped and counted."""
    pairs: list[EncodedPair] = []
    dropped: dict[str, int] = {}
    for row in comparisons:
        pair = _encoded(lm, row, max_length)
        if isinstance(pair, str):
            dropped[pair] = dropped.get(pair, 0) + 1
        else:
            pairs.append(pair)
    return EncodedPairs(tuple(pairs), dropped)


def _encoded(lm: LanguageModel, row: Comparison, max_length: int) -> EncodedPair | str:
    """The pair, or why it cannot be trained on."""
    if row.label is None:
        return "no label"
    prompt = tuple(lm.encode_prompt(row.prompt))
    answers = []
    for turns in (row.first, row.second):
        answer = encoded_answer(lm, prompt, row.prompt.then(*turns), max_length)
        if isinstance(answer, str):
            return answer
        answers.append(answer)
    first, second = answers
    label = row.label
    return EncodedPair(row.id, first, second, label.preference, label.weight, label.ranking, label.strength)


def encoded_answer(
    lm: LanguageModel, prompt: tuple[int, ...], conversation: Conversation, max_length: int
) -> EncodedRow | str:
    """A conversation that goes on from the encoded prompt, what comes after it trained on; or why it cannot
    be trained on."""
    whole = lm.encode(conversation)
    if len(whole.ids) > max_length:
        return f"longer than {max_length} tokens"
    mask = (False,) * len(prompt) + whole.response_mask[len(prompt) :]
    if whole.ids[: len(prompt)] != prompt or not any(mask):
        return "an answer without a trained turn of the assistant"
    return EncodedRow(whole.ids, mask)


def pair_micros(
    lm: LanguageModel,
    pairs: Sequence[EncodedPair],
    chosen: Sequence[int],
    micro_tokens: int,
) -> list[Micro]:
    """A step's pairs, those `chosen` of all, in micro-batches of like length; a pair is never parted."""
    total = sum(pairs[i].weight for i in chosen)
    laid = {i: groups_of(lm, (pairs[i].first.ids, pairs[i].second.ids), micro_tokens) for i in chosen}
    parts = alike(lm, laid, chosen, micro_tokens)
    return [_micro(lm, pairs, {i: laid[i] for i in own}, total) for own in parts]


def alike(
    lm: LanguageModel, laid: Mapping[int, Sequence[Group]], chosen: Sequence[int], micro_tokens: int
) -> list[list[int]]:
    """Those `chosen` of what is laid out, in parts of as many rows each and like length.

    What is longer than `micro_tokens` is alone in its part.
    """
    parts: list[list[int]] = []
    for rows in sorted({len(groups) for groups in laid.values()}):
        own = [i for i in chosen if len(laid[i]) == rows]
        lengths = [max(group.length for group in laid[i]) for i in own]
        parts += [[own[k] for k in picks] for picks in cut(lm.model, lengths, max(1, micro_tokens // rows))]
    return parts


def _micro(
    lm: LanguageModel,
    pairs: Sequence[EncodedPair],
    laid: Mapping[int, Sequence[Group]],
    total: float,
) -> Micro:
    chosen = [pairs[i] for i in laid]
    rows = [row for pair in chosen for row in (pair.first, pair.second)]
    groups = in_turn((own, 2) for own in laid.values())
    batch = PairBatch(
        rows=lay_out([row.ids for row in rows], groups, lm.pad_id, lm.device),
        response_masks=tuple(row.response_mask for row in rows),
        preference=torch.tensor([pair.preference for pair in chosen], device=lm.device),
        weights=torch.tensor([pair.weight / total for pair in chosen], device=lm.device),
        indices=tuple(laid),
    )
    ids = tuple(pair.id for pair in chosen)
    return Micro(ids, batch, sum(len(row.ids) for row in rows), batch.rows.size)
