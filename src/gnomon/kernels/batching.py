"""Rows grouped by length, so that padding is little and a batch fits memory."""

from collections.abc import Sequence


def by_length(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Positions in groups of like length; padded, a group holds at most `tokens` (a longer row: alone)."""
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if groups and lengths[i] * (len(groups[-1]) + 1) <= tokens:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups
