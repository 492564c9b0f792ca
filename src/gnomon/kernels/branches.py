"""Several rows of ids laid out as one: those that begin alike share it, those that do not lie side by side.

The samples of a prompt, the two answers of a comparison or a judge's questions under one rubric become one
row: the common beginning, then the rest of each. Positions restart after the beginning, and a token sees the
beginning and its own rest only, so that each row is what it is alone. Rows packed to save padding are the
same with an empty beginning.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gnomon.kernels.batching import pad_right

LONGEST = 1024
"""Tokens of the longest row that holds several: its masks are dense."""

KEYS = 1000
"""A token's attention to so many keys costs what the rest of its layer does."""

WORTH = 0.97
"""The share of what two rows cost that one must stay below: rows of more lengths mean more padding."""


@dataclass(frozen=True)
class Group:
    """Rows laid out as one, by their indices (those of rows that are the same together): the first `common`
    of their tokens are held once. Rows that differ have `tokens` in all."""

    members: tuple[tuple[int, ...], ...]
    tokens: int
    common: int

    @property
    def length(self) -> int:
        """Tokens of the one row."""
        return self.tokens - (len(self.members) - 1) * self.common

    @property
    def cost(self) -> float:
        """What the row costs, in tokens that attend to nothing."""
        return self.length * (1 + self.length / KEYS)


def _moved(group: Group, by: int) -> Group:
    """The same group where its rows stand `by` places further on."""
    return replace(group, members=tuple(tuple(i + by for i in same) for same in group.members))


def in_turn(groups: Iterable[tuple[Sequence[Group], int]]) -> list[Group]:
    """Groups of several lots of so many rows each, where the rows stand one lot after another."""
    start, found = 0, []
    for own, rows in groups:
        found += [_moved(group, start) for group in own]
        start += rows
    return found


def sharing(rows: Sequence[Sequence[int]], longest: int) -> list[Group]:
    """Rows in groups of at most `longest` tokens (a longer row: alone), wherever sharing is cheaper.

    In lexicographic order neighbours share the most. From the longest common beginning down, neighbouring
    groups are merged where one row costs less than two: the beginning is saved, and the rests of the others
    are attended to in vain, masked as they are. Rows that are the same are always one.
    """
    same: dict[tuple[int, ...], list[int]] = {}
    for i, row in enumerate(rows):
        same.setdefault(tuple(row), []).append(i)
    order = sorted(same)
    common = [_common(one, other) for one, other in pairwise(order)]
    at = [Group((tuple(same[row]),), len(row), len(row)) for row in order]
    for k in sorted(range(len(common)), key=lambda k: -common[k]):
        left, right = at[k], at[k + 1]
        both = Group(left.members + right.members, left.tokens + right.tokens, common[k])
        if both.length <= longest and both.cost < WORTH * (left.cost + right.cost):
            at[k + 1 - len(left.members) : k + 1 + len(right.members)] = [both] * len(both.members)
    return list(dict.fromkeys(at))


def packing(lengths: Sequence[int], longest: int) -> list[Group]:
    """Rows side by side in packs of at most `longest` tokens (a longer row: alone), sharing nothing.

    First fit, longest first: each goes where there is room, and into a pack of its own where there is none.
    """
    packs: list[list[int]] = []
    room: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        k = next((k for k, left in enumerate(room) if lengths[i] <= left), len(packs))
        if k == len(packs):
            packs.append([])
            room.append(longest)
        packs[k].append(i)
        room[k] -= lengths[i]
    tokens = [sum(lengths[i] for i in pack) for pack in packs]
    return [
        Group(tuple((i,) for i in pack), total, total if len(pack) == 1 else 0)
        for pack, total in zip(packs, tokens, strict=True)
    ]


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    differing = (k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differing, min(len(one), len(other)))


@dataclass(frozen=True)
class Branches:
    """Groups padded to one batch. `segments` holds 0 for a common beginning, 1, 2, ... for the rests after it
    and -1 for padding; `places` where the tokens of each row lie in the flattened batch, by rising index.
    `shared` where any row of the batch holds several."""

    input_ids: Int[Tensor, "batch seq"]
    positions: Int[Tensor, "batch seq"]
    segments: Int[Tensor, "batch seq"]
    places: Mapping[int, Sequence[int]]
    shared: bool

    @property
    def size(self) -> int:
        """Tokens of the batch, padding included."""
        return self.input_ids.numel()

    def ends(self) -> Int[Tensor, "rows"]:
        """Where the last token of each row lies."""
        return self._tensor([places[-1] for places in self.places.values()])

    def after(self, starts: Sequence[int]) -> tuple[Int[Tensor, "labels"], Int[Tensor, "labels"]]:
        """The tokens of each row i from `starts[i]` on: where they are predicted, and what they are."""
        return self._labels({i: range(starts[i], len(places)) for i, places in self.places.items()})

    def trained(
        self, response_masks: Sequence[Sequence[bool]]
    ) -> tuple[Int[Tensor, "labels"], Int[Tensor, "labels"]]:
        """The tokens of each row i that `response_masks[i]` covers: where they are predicted, and what they
        are. Nothing predicts the first token of a row, whatever lies before it."""
        return self._labels(
            {i: [k for k, on in enumerate(response_masks[i]) if on and k] for i in self.places}
        )

    def _labels(
        self, wanted: Mapping[int, Sequence[int]]
    ) -> tuple[Int[Tensor, "labels"], Int[Tensor, "labels"]]:
        before = [self.places[i][k - 1] for i, own in wanted.items() for k in own]
        labels = [self.places[i][k] for i, own in wanted.items() for k in own]
        return self._tensor(before), self.input_ids.flatten()[self._tensor(labels)]

    def _tensor(self, places: Sequence[int]) -> Tensor:
        return torch.tensor(places, dtype=torch.long, device=self.input_ids.device)


def lay_out(
    rows: Sequence[Sequence[int]], groups: Sequence[Group], pad_id: int, device: torch.device | None = None
) -> Branches:
    """A batch with one row for each group, padded right."""
    laid = [_one_row(rows, group) for group in groups]
    ids, _ = pad_right([row.ids for row in laid], pad_id, device)
    positions, _ = pad_right([row.positions for row in laid], 0, device)
    segments, _ = pad_right([row.segments for row in laid], -1, device)
    width = ids.shape[1]
    places = {
        i: [k * width + place for place in inside]
        for k, row in enumerate(laid)
        for i, inside in row.places.items()
    }
    shared = any(len(group.members) > 1 for group in groups)
    return Branches(ids, positions, segments, dict(sorted(places.items())), shared)


class _Row(NamedTuple):
    ids: list[int]
    positions: list[int]
    segments: list[int]
    places: dict[int, list[int]]


def _one_row(rows: Sequence[Sequence[int]], group: Group) -> _Row:
    common = group.common
    laid = _Row(list(rows[group.members[0][0]][:common]), list(range(common)), [0] * common, {})
    for segment, same in enumerate(group.members, start=1):
        rest, start = rows[same[0]][common:], len(laid.ids)
        places = [*range(common), *range(start, start + len(rest))]
        laid.places.update(dict.fromkeys(same, places))
        laid.ids.extend(rest)
        laid.positions.extend(range(common, common + len(rest)))
        laid.segments.extend([segment] * len(rest))
    return laid


def visible(
    segments: Int[Tensor, "batch seq"], positions: Int[Tensor, "batch seq"], window: int | None = None
) -> Bool[Tensor, "batch seq seq"]:
    """Whether the token of the second axis sees that of the third: the common beginning and its own segment,
    nothing later than itself, and with a `window` only the last so many positions, itself among them."""
    segment, ahead = segments[:, None], positions[:, :, None] - positions[:, None]
    seen = ((segment == 0) | (segment == segments[:, :, None])) & (ahead >= 0)
    return seen if window is None else seen & (ahead < window)
