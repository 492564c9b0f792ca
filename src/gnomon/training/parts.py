"""A training state in parts: what each process writes of it, and what each takes up, however many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gnomon.distributed import leads, rank, size
from gnomon.models.shards import is_part, part_of


@dataclass(frozen=True)
class Pieces:
    """A tensor that several processes wrote, each its rows, in their order."""

    tensors: tuple[Tensor, ...]


def own_part(state: Any) -> Any:
    """What this process writes of a state: its rows of what is shared out; of the rest all or, where it is not
    the first, no tensor."""
    match state:
        case dict():
            return {name: own_part(value) for name, value in state.items()}
        case list() | tuple():
            return type(state)(own_part(value) for value in state)
        case Tensor():
            return part_of(state) if is_part(state) or leads() else None
    return state


def joined(parts: Sequence[Any]) -> Any:
    """The state that `own_part` gave the parts of, in the order of their processes."""
    first = parts[0]
    match first:
        case dict():
            return {name: joined([part[name] for part in parts]) for name in first}
        case list() | tuple():
            return type(first)(joined(same) for same in zip(*parts, strict=True))
        case Tensor() if all(isinstance(part, Tensor) for part in parts):
            return Pieces(tuple(parts))
    return first


def taken(saved: Tensor | Pieces, weight: Tensor) -> Tensor:
    """What goes with this process's part of a weight, of a tensor that was saved: its rows, or all of it."""
    pieces = saved.tensors if isinstance(saved, Pieces) else (saved,)
    if is_part(weight) and pieces[0].ndim:
        return _rows(pieces)
    return pieces[0].clone() if len(pieces) == 1 else torch.cat(pieces)


def _rows(pieces: Sequence[Tensor]) -> Tensor:
    """The rows of one of `size()` parts, cut as torch.chunk and with it FSDP2 cuts them."""
    count = sum(len(piece) for piece in pieces)
    each = -(-count // size())
    first, last = min(rank() * each, count), min((rank() + 1) * each, count)
    found, start = [pieces[0][:0]], 0
    for piece in pieces:
        found.append(piece[max(first - start, 0) : max(last - start, 0)])
        start += len(piece)
    return torch.cat(found)
