"""Attention as plain matrix products, for rows short enough that their scores can be held.

A flash kernel writes no scores down, and pays for it: on a processor its small tiles reach a third of the
speed of whole products. Of rows of a few hundred tokens the scores are smaller than the layer's activations.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.nn import functional

from gnomon.kernels.head import wide

LONGEST = 1024
"""Keys up to which scores are held: those of 4 heads in bfloat16 are 8 MiB a layer and row then."""


class _Attend(torch.autograd.Function):
    """Rows of queries against the keys of their group; the probabilities are kept, rounded, for backward."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float) -> Tensor:
        dtype = wide(rows.dtype)  # scores are rounded by nobody: a probability is off by as much as its score
        scores = torch.baddbmm(bias.to(dtype), rows.to(dtype), key.to(dtype).mT, alpha=scale)
        probs = scores.softmax(dim=-1).to(rows.dtype)
        ctx.save_for_backward(rows, key, value, probs)
        ctx.scale = scale
        return torch.bmm(probs, value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        rows, key, value, probs = ctx.saved_tensors
        (upstream,) = grads
        slopes = torch.ops.aten._softmax_backward_data(torch.bmm(upstream, value.mT), probs, -1, probs.dtype)
        grad_rows = torch.bmm(slopes, key).mul_(ctx.scale)
        grad_key = torch.bmm(slopes.mT, rows).mul_(ctx.scale)
        return grad_rows, grad_key, torch.bmm(probs.mT, upstream), None, None


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
    rows = query.view(batch, groups, each, queries, width).transpose(2, 3)
    bias = added[:, :, :, None].expand(batch, groups, queries, each, keys)
    found: Tensor = _Attend.apply(  # type: ignore[no-untyped-call]
        rows.reshape(batch * groups, queries * each, width),
        key.reshape(batch * groups, keys, width),
        value.reshape(batch * groups, keys, value.shape[-1]),
        bias.reshape(batch * groups, queries * each, keys),
        scale,
    )
    split = found.view(batch, groups, queries, each, value.shape[-1])
    return split.transpose(1, 2).reshape(batch, queries, heads, value.shape[-1])


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
