"""Attention as plain matrix products, for rows short enough that their scores can be held.

A flash kernel writes no scores down, and pays for it: on a processor its small tiles reach a third of the
speed of whole products. Of rows of a few hundred tokens the scores are smaller than the layer's activations.
Queries are taken a block at a time, against those keys alone that one of them sees: of a causal mask nearly
half is not computed, and of answers to one prompt that lie side by side none sees another.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.nn import functional

from gnomon.kernels.head import wide

LONGEST = 1024
"""Keys up to which scores are held: those of 4 heads in bfloat16 are 8 MiB a layer and row at most."""

BLOCK = 128
"""Queries that are taken together at most: fewer see fewer keys, and make smaller products."""

Columns = slice | Tensor
"""Keys, by their places: a range of them, or [keys] of any."""


class _Part(NamedTuple):
    """A block of queries, and the keys that any of them sees in any row."""

    queries: slice
    keys: Columns


class _Attend(torch.autograd.Function):
    """Rows of queries against the keys of their group; the probabilities are kept, rounded, for backward.

    `rows` are [batch * groups, queries, heads of a group, width], keys and values [batch * groups, keys,
    width], and `added` [batch * groups or fewer, queries, 1, keys] as it is added to the scores.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, key: Tensor, value: Tensor, added: Tensor, scale: float, parts: list[_Part]
    ) -> Tensor:
        dtype = wide(rows.dtype)  # scores are rounded by nobody: a probability is off by as much as its score
        found = rows.new_empty(*rows.shape[:3], value.shape[-1])
        kept = []
        for part in parts:
            own = rows[:, part.queries]
            bias = added[:, part.queries, :, part.keys].to(dtype)
            bias = bias.expand(*own.shape[:3], -1).flatten(1, 2)
            keys, values = key[:, part.keys], value[:, part.keys]
            scores = torch.baddbmm(bias, own.flatten(1, 2).to(dtype), keys.to(dtype).mT, alpha=scale)
            kept.append(scores.softmax(dim=-1).to(rows.dtype))
            found[:, part.queries] = torch.bmm(kept[-1], values).view(*own.shape[:3], -1)
        ctx.save_for_backward(rows, key, value, *kept)
        ctx.scale, ctx.parts = scale, parts
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        rows, key, value, *kept = ctx.saved_tensors
        grad_rows = torch.empty_like(rows)
        grad_key, grad_value = (torch.zeros_like(each, dtype=wide(each.dtype)) for each in (key, value))
        for part, probs in zip(ctx.parts, kept, strict=True):
            own, keys, values = rows[:, part.queries].flatten(1, 2), key[:, part.keys], value[:, part.keys]
            upstream = grads[0][:, part.queries].flatten(1, 2)
            slopes = torch.bmm(upstream, values.mT)
            slopes = torch.ops.aten._softmax_backward_data(slopes, probs, -1, probs.dtype)
            grad_rows[:, part.queries] = torch.bmm(slopes, keys).view_as(grad_rows[:, part.queries])
            _add(grad_key, part.keys, torch.bmm(slopes.mT, own))
            _add(grad_value, part.keys, torch.bmm(probs.mT, upstream))
        grad_key = grad_key.mul_(ctx.scale).to(key.dtype)
        return grad_rows.mul_(ctx.scale), grad_key, grad_value.to(value.dtype), None, None, None


def _add(total: Tensor, columns: Columns, more: Tensor) -> None:
    if isinstance(columns, slice):
        total[:, columns] += more
    else:
        total.index_add_(1, columns, more.to(total.dtype))


def attend(
    query: Float[Tensor, "batch heads queries width"],
    key: Float[Tensor, "batch groups keys width"],
    value: Float[Tensor, "batch groups keys width"],
    added: Float[Tensor, "#batch #groups queries keys"],
    scale: float,
) -> Float[Tensor, "batch queries heads width"]:
    """softmax(scale * query key' + added) value, each group of heads sharing a head of keys and values.

    The heads of a group are more rows of one product. Scores are float32 (float64 of a float64 model).
    """
    batch, heads, queries, width = query.shape
    groups, keys = key.shape[1:3]
    each = heads // groups
    bias = added if added.shape[:2] == (1, 1) else added.expand(batch, groups, queries, keys)
    found: Tensor = _Attend.apply(  # type: ignore[no-untyped-call]
        query.view(batch, groups, each, queries, width).transpose(2, 3).reshape(-1, queries, each, width),
        key.reshape(batch * groups, keys, width),
        value.reshape(batch * groups, keys, value.shape[-1]),
        bias.reshape(-1, queries, 1, keys),
        scale,
        list(_parts(added)),
    )
    split = found.view(batch, groups, queries, each, value.shape[-1])
    return split.transpose(1, 2).reshape(batch, queries, heads, value.shape[-1])


def _parts(added: Float[Tensor, "batch groups queries keys"]) -> Iterator[_Part]:
    """Blocks of like size with the keys that they see; one that sees none has the first."""
    queries = added.shape[2]
    count = -(-queries // BLOCK)
    if count == 1:
        yield _Part(slice(None), slice(None))
        return
    highest = added.detach().amax(dim=(0, 1)) > torch.finfo(added.dtype).min
    for i in range(count):
        block = slice(i * queries // count, (i + 1) * queries // count)
        seen = highest[block].any(dim=0).nonzero().flatten()
        if not len(seen):
            seen = seen.new_zeros(1)
        ranged = slice(int(seen[0]), int(seen[-1]) + 1)
        yield _Part(block, ranged if ranged.stop - ranged.start == len(seen) else seen)


def attend_once(
    query: Float[Tensor, "batch heads 1 width"],
    key: Float[Tensor, "batch groups keys width"],
    value: Float[Tensor, "batch groups keys width"],
    seen: Shaped[Tensor, "#batch 1 1 keys"] | None,
    scale: float,
) -> Float[Tensor, "batch 1 heads width"]:
    """`attend` for one query a row, by torch's kernel; `seen` is as its mask, None where all keys are seen.

    The heads of a group are queries of one head: head by head the kernel would read its keys and values
    again for each, which is most of its work.
    """
    batch, heads, _, width = query.shape
    groups, keys = key.shape[1:3]
    each = heads // groups
    mask = None if seen is None else seen.expand(batch, 1, each, keys)
    rows = query.reshape(batch, groups, each, width)
    found = functional.scaled_dot_product_attention(rows, key, value, mask, scale=scale)
    return found.reshape(batch, 1, heads, value.shape[-1])


def plain_attend(
    query: Float[Tensor, "batch heads queries width"],
    key: Float[Tensor, "batch groups keys width"],
    value: Float[Tensor, "batch groups keys width"],
    added: Float[Tensor, "#batch #groups queries keys"],
    scale: float,
) -> Float[Tensor, "batch queries heads width"]:
    """The same head by head, as it is written down: the reference for `attend`."""
    each, own = query.shape[1] // key.shape[1], added.shape[1] - 1
    found = []
    for h in range(query.shape[1]):
        scores = scale * query[:, h] @ key[:, h // each].mT + added[:, min(h // each, own)]
        found.append(scores.softmax(dim=-1) @ value[:, h // each])
    return torch.stack(found, dim=2)


def added_to_scores(
    seen: Bool[Tensor, "*batch queries keys"], dtype: torch.dtype
) -> Float[Tensor, "*batch queries keys"]:
    """0 where a query sees a key, elsewhere the lowest number: a query that sees none stays finite."""
    lowest = torch.finfo(dtype).min
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, lowest)


def causal(queries: int, keys: int, device: torch.device) -> Bool[Tensor, "queries keys"]:
    """Whether a query sees a key: nothing later than itself, the last query being as late as the last key."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
