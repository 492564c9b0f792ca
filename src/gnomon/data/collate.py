"""Rows of ids to rectangular batches: by length, trimmed, right-padded, in an order the seed fixes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gnomon.records import EncodedRow


@dataclass(frozen=True)
class Batch:
    """Right-padded rows. `response_mask` is True where the token is trained on, never on padding."""

    input_ids: Int[Tensor, "batch seq"]
    attention_mask: Bool[Tensor, "batch seq"]
    response_mask: Bool[Tensor, "batch seq"]


def collate(rows: Sequence[EncodedRow], pad_id: int, device: torch.device | None = None) -> Batch:
    """Pad `rows` to the longest of them."""
    longest = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.long)
    attention = torch.zeros((len(rows), longest), dtype=torch.bool)
    response = torch.zeros_like(attention)
    for i, row in enumerate(rows):
        n = len(row.ids)
        ids[i, :n] = torch.tensor(row.ids)
        attention[i, :n] = True
        response[i, :n] = torch.tensor(row.response_mask)
    return Batch(ids.to(device), attention.to(device), response.to(device))


def epoch_batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Indices of one epoch's batches: shuffled, like lengths together, then the batches shuffled.

    Rows are sorted inside windows of eight batches, so that batches stay random while padding stays small.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    window = 8 * batch_size
    batches: list[list[int]] = []
    for start in range(0, len(order), window):
        part = sorted(order[start : start + window].tolist(), key=lambda i: lengths[i])
        batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
