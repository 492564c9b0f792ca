"""Answers that are judged one by one, good or bad: encoded, and laid out with each prompt once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from gnomon.kernels.branches import Branches, Group, in_turn, lay_out
from gnomon.models.branches import groups_of
from gnomon.models.load import LanguageModel
from gnomon.records import EncodedRow, Rating
from gnomon.training.objective import Micro
from gnomon.training.pairs import EncodedPair, alike, encoded_answer


@dataclass(frozen=True)
class Judged:
    """Answers to one prompt, and how likely each is desirable; each of them weighs `weight`."""

    id: str
    answers: tuple[EncodedRow, ...]
    desirable: tuple[float, ...]
    weight: float = 1.0

    @property
    def length(self) -> int:
        """Tokens of the longest answer with its prompt."""
        return max(len(row.ids) for row in self.answers)


class EncodedRatings(NamedTuple):
    """Judged answers ready for training, and how many could not be used, by reason."""

    judged: tuple[Judged, ...]
    dropped: Mapping[str, int]


class JudgedBatch(NamedTuple):
    """Answers laid out for one forward pass; all else is of answers, [answers] each.

    Weights add up to 1 over the step, and so do `better` and `worse`, the weights of what is desirable and of
    what is not, each None where the step has none of it. `indices` are the answers' places among all of them,
    `baseline` is what log-ratios are measured against.
    """

    rows: Branches
    response_masks: tuple[tuple[bool, ...], ...]
    desirable: Tensor
    weights: Tensor
    better: Tensor | None
    worse: Tensor | None
    indices: tuple[int, ...]
    baseline: float


def both_judged(pairs: Iterable[EncodedPair]) -> list[Judged]:
    """Comparisons as verdicts: the better answer is desirable, the other is not."""
    return [
        Judged(pair.id, (pair.first, pair.second), (pair.preference, 1 - pair.preference), pair.weight)
        for pair in pairs
    ]


def usable_ratings(lm: LanguageModel, ratings: Iterable[Rating], max_length: int) -> EncodedRatings:
    """Encode answers that were each judged; one that cannot be used is dropped and counted."""
    judged: list[Judged] = []
    dropped: dict[str, int] = {}
    for row in ratings:
        prompt = tuple(lm.encode_prompt(row.prompt))
        answer = encoded_answer(lm, prompt, row.conversation, max_length)
        if isinstance(answer, str):
            dropped[answer] = dropped.get(answer, 0) + 1
        else:
            judged.append(Judged(row.id, (answer,), (float(row.desirable),)))
    return EncodedRatings(tuple(judged), dropped)


class Verdicts:
    """Judged answers by the places of their prompts, and of each the reference's log-prob: NaN until it is
    asked for, and it does not change."""

    def __init__(self, judged: Mapping[int, Judged], dtype: torch.dtype) -> None:
        self.judged = judged
        self.first: dict[int, int] = {}
        count = 0
        for i, one in judged.items():
            self.first[i] = count
            count += len(one.answers)
        self.reference = torch.full((count,), torch.nan, dtype=dtype)

    def places(self, chosen: Iterable[int]) -> list[int]:
        """Where the answers to these prompts stand among all."""
        return [self.first[i] + k for i in chosen for k in range(len(self.judged[i].answers))]

    def micros(
        self, lm: LanguageModel, chosen: Sequence[int], micro_tokens: int, baseline: float = 0.0
    ) -> list[Micro]:
        """A step's answers, those to the `chosen` prompts, in micro-batches of like length; answers to one
        prompt are never parted."""
        laid = {i: groups_of(lm, [row.ids for row in self.judged[i].answers], micro_tokens) for i in chosen}
        step = _Step.of([self.judged[i] for i in chosen])
        parts = alike(lm, laid, chosen, micro_tokens)
        return [self._micro(lm, {i: laid[i] for i in own}, step, baseline) for own in parts]

    def _micro(
        self, lm: LanguageModel, laid: Mapping[int, Sequence[Group]], step: "_Step", baseline: float
    ) -> Micro:
        own = [self.judged[i] for i in laid]
        rows = [row for one in own for row in one.answers]
        groups = in_turn((laid[i], len(self.judged[i].answers)) for i in laid)
        desirable = torch.tensor([q for one in own for q in one.desirable], device=lm.device)
        weights = torch.tensor([one.weight for one in own for _ in one.answers], device=lm.device)
        batch = JudgedBatch(
            rows=lay_out([row.ids for row in rows], groups, lm.pad_id, lm.device),
            response_masks=tuple(row.response_mask for row in rows),
            desirable=desirable,
            weights=weights / step.all,
            better=weights * desirable / step.better if step.better else None,
            worse=weights * (1 - desirable) / step.worse if step.worse else None,
            indices=tuple(self.places(laid)),
            baseline=baseline,
        )
        ids = tuple(one.id for one in own)
        return Micro(ids, batch, sum(len(row.ids) for row in rows), batch.rows.size)


class _Step(NamedTuple):
    """What all answers of a step weigh, and the desirable and the undesirable among them."""

    all: float
    better: float
    worse: float

    @classmethod
    def of(cls, judged: Sequence[Judged]) -> "_Step":
        better = sum(one.weight * q for one in judged for q in one.desirable)
        worse = sum(one.weight * (1 - q) for one in judged for q in one.desirable)
        return cls(better + worse, better, worse)
