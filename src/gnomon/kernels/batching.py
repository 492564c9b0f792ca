"""Rows grouped by length, so that padding is little and a batch fits memory."""

from collections.abc import Sequence

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
