"""Rows grouped by length, so that padding is little and a batch fits memory; and the padding itself."""

import math
from bisect import bisect_left
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

SLACK = 0.2
"""The share of a group that may be padding, once it has `FEW` rows."""

FEW = 4


def by_length(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Positions in groups of like length; padded, a group holds at most `tokens` (a longer row: alone)."""
    groups: list[list[int]] = []
    real = 0
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        rows = len(groups[-1]) if groups else 0
        padded, real = lengths[i] * (rows + 1), real + lengths[i]
        wasteful = rows >= FEW and padded - real > SLACK * padded
        if groups and padded <= tokens and not wasteful:
            groups[-1].append(i)
        else:
            groups.append([i])
            real = lengths[i]
    return groups


def alongside(lengths: Sequence[int], tokens: int, lanes: int) -> list[list[int]]:
    """`by_length` for so many lanes: a multiple of them, where there are rows enough, and the largest group
    as small as it can be."""
    wanted = lanes * math.ceil(len(by_length(lengths, tokens)) / lanes)
    sizes = range(max(lengths, default=0), tokens)  # of none of these there may be few enough groups
    least = bisect_left(sizes, -wanted, key=lambda size: -len(by_length(lengths, size)))
    groups = by_length(lengths, sizes[least] if least < len(sizes) else tokens)
    while len(groups) % lanes and len(groups) < len(lengths):
        largest = max((own for own in groups if len(own) > 1), key=lambda own: lengths[own[-1]] * len(own))
        k, half = groups.index(largest), len(largest) // 2
        groups[k : k + 1] = [largest[:half], largest[half:]]
    return groups


def pad_right(
    rows: Sequence[Sequence[int]], pad_id: int, device: torch.device | None = None
) -> tuple[Int[Tensor, "batch seq"], Bool[Tensor, "batch seq"]]:
    """Rows of ids padded to the longest of them, and which of the positions are real."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[pad_id] * (longest - len(row))] for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return ids, torch.arange(longest, device=device)[None] < lengths[:, None]
