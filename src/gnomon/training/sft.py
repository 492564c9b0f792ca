"""Instruction tuning: the assistant's tokens, each weighing the same over the whole step."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gnomon.data.collate import Epochs
from gnomon.errors import DataError
from gnomon.kernels.branches import LONGEST, Branches, Group, lay_out, packing
from gnomon.kernels.fused import head_pass, weighted_nll
from gnomon.models.branches import branch_states, shares
from gnomon.models.heads import output_head
from gnomon.models.lanes import cut
from gnomon.models.load import LanguageModel
from gnomon.models.passes import read_rows
from gnomon.records import Demonstration, EncodedRow
from gnomon.settings.base import OptimSettings
from gnomon.training.objective import Figures, Micro, StepWork


@dataclass(frozen=True)
class EncodedRows:
    """Rows ready for training, their ids beside them, and how many could not be used, by reason."""

    ids: tuple[str, ...]
    rows: tuple[EncodedRow, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)


def encode_demonstrations(
    lm: LanguageModel, demonstrations: Iterable[Demonstration], max_length: int
) -> EncodedRows:
    """Encode rows to train on, as `usable_demonstrations` does; DataError where none can be used."""
    data = usable_demonstrations(lm, demonstrations, max_length)
    if not data.rows:
        raise DataError(
            f"no demonstration can be trained on ({data.dropped or 'there is none'}); check the data"
        )
    return data


def usable_demonstrations(
    lm: LanguageModel, demonstrations: Iterable[Demonstration], max_length: int
) -> EncodedRows:
    """Encode rows; one that is too long is dropped and counted, never cut: its turn's end would be lost."""
    ids: list[str] = []
    rows: list[EncodedRow] = []
    dropped: dict[str, int] = {}
    for row in demonstrations:
        encoded = lm.encode(row.conversation)
        reason = ""
        if len(encoded.ids) > max_length:
            reason = f"longer than {max_length} tokens"
        elif not any(encoded.response_mask[1:]):
            reason = "no trained turn"
        if reason:
            dropped[reason] = dropped.get(reason, 0) + 1
            continue
        ids.append(row.id)
        rows.append(encoded)
    return EncodedRows(tuple(ids), tuple(rows), dropped)


class TokenBatch(NamedTuple):
    """Rows laid out for one forward pass, and of each trained token: where it is predicted, what it is.
    `tokens` are the whole step's."""

    rows: Branches
    before: Tensor
    labels: Tensor
    tokens: int


class InstructionTuning:
    """Cross-entropy on response tokens: each step's loss is a mean over all its tokens.

    With `packed`, rows fill each other's padding: several lie in one, of at most `LONGEST` tokens.
    """

    def __init__(
        self,
        lm: LanguageModel,
        data: EncodedRows,
        settings: OptimSettings,
        seed: int,
        *,
        packed: bool = False,
    ) -> None:
        self.lm, self.data, self.settings = lm, data, settings
        self.head = output_head(lm.model)
        self.lengths = [len(row.ids) for row in data.rows]
        self.longest = min(LONGEST, settings.micro_tokens) if packed and shares(lm.model) else 0
        self.order = Epochs(self.lengths, settings.batch_size, settings.epochs, seed)
        self.steps = self.order.steps

    def prepare(self, step: int) -> StepWork:
        """The step's rows, cut into micro-batches of like length."""
        chosen = self.order.at(step)
        labels = sum(sum(self.data.rows[i].response_mask[1:]) for i in chosen)
        groups = packing([self.lengths[i] for i in chosen], self.longest)
        picks = cut(self.lm.model, [group.length for group in groups], self.settings.micro_tokens)
        micros = [self._micro(chosen, [groups[k] for k in picked], labels) for picked in picks]
        return StepWork(micros, {"epoch": step / self.order.per_epoch})

    def loss(self, micro: Micro) -> tuple[Tensor, Figures]:
        """This micro-batch's part of the step's mean."""
        batch: TokenBatch = micro.tensors
        states = branch_states(self.lm.model, batch.rows)[batch.before]
        weights = torch.full(batch.labels.shape, 1.0 / batch.tokens, device=states.device)
        loss, _ = weighted_nll(states, self.head, batch.labels, weights)
        return loss, {}

    def state_dict(self) -> dict[str, Any]:
        """Nothing: order and rows follow from seed and step."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""

    def _micro(self, chosen: Sequence[int], groups: Sequence[Group], labels: int) -> Micro:
        own = [self.data.rows[i] for i in chosen]
        rows = lay_out([row.ids for row in own], groups, self.lm.pad_id, self.lm.device)
        batch = TokenBatch(rows, *rows.trained([row.response_mask for row in own]), labels)
        within = [chosen[k] for k in rows.places]
        ids = tuple(self.data.ids[i] for i in within)
        return Micro(ids, batch, sum(self.lengths[i] for i in within), rows.size)


def held_out_loss(lm: LanguageModel, data: EncodedRows, micro_tokens: int) -> float:
    """Mean cross-entropy over the response tokens of rows not trained on, in nats a token."""
    head, masks = output_head(lm.model), [row.response_mask for row in data.rows]

    def read(batch: Branches) -> Tensor:
        before, labels = batch.trained(masks)
        return head_pass(branch_states(lm.model, batch)[before], head, labels).logps

    logps = read_rows(lm, [row.ids for row in data.rows], micro_tokens, read)
    return -sum(float(own.sum()) for own in logps) / sum(map(len, logps))
