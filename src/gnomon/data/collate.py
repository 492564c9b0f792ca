"""Rows of ids to rectangular batches: by length, trimmed, right-padded, in an order the seed fixes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gnomon.kernels.batching import pad_right
from gnomon.records import EncodedRow


@dataclass(frozen=True)
class Batch:
    """Right-padded rows. `response_mask` is True where the token is trained on, never on padding."""

    input_ids: Int[Tensor, "batch seq"]
    attention_mask: Bool[Tensor, "batch seq"]
    response_mask: Bool[Tensor, "batch seq"]


def collate(rows: Sequence[EncodedRow], pad_id: int, device: torch.device | None = None) -> Batch:
    """Pad `rows` to the longest of them."""
    ids, attention = pad_right([row.ids for row in rows], pad_id, device)
    response, _ = pad_right([[int(trained) for trained in row.response_mask] for row in rows], 0, device)
    return Batch(ids, attention, response.bool())


@dataclass(frozen=True)
class Epochs:
    """Which rows each step learns from: `epochs` passes over rows of the given lengths, in a seeded order."""

    lengths: Sequence[int]
    batch_size: int
    epochs: float
    seed: int

    @property
    def per_epoch(self) -> int:
        """Steps in one pass."""
        return math.ceil(len(self.lengths) / self.batch_size)

    @property
    def steps(self) -> int:
        """Steps in all."""
        return max(1, round(self.epochs * self.per_epoch))

    def at(self, step: int) -> list[int]:
        """Indices of the rows of a 0-based step."""
        epoch, position = divmod(step, self.per_epoch)
        return epoch_batches(self.lengths, self.batch_size, self.seed, epoch)[position]


def epoch_batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Indices of one epoch's batches: shuffled, like lengths together, then the batches shuffled.

    Rows are sorted inside windows of eight batches, so that batches stay random while padding stays small.
    Where all of them are fewer than sixteen batches there are two windows of half: in one window each epoch
    would have the same batches.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    window = min(8, math.ceil(len(lengths) / batch_size / 2)) * batch_size
    batches: list[list[int]] = []
    for start in range(0, len(order), window):
        part = sorted(order[start : start + window].tolist(), key=lambda i: lengths[i])
        batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
