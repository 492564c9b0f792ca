"""Attention as plain matrix products, for rows short enough that their scores can be held.

A flash kernel writes no scores down, and pays for it: on a processor its small tiles reach a third of the
speed of whole products. Of rows of a few hundred tokens the scores are smaller than the layer's activations.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LONGEST = 1024
"""Keys up to which scores are held: those of 4 heads in bfloat16 are 8 MiB a layer and row then."""


def attend(
    query: Float[Tensor, "batch heads queries width"],
    key: Float[Tensor, "batch groups keys width"],
    value: Float[Tensor, "batch groups keys width"],
    added: Float[Tensor, "#batch #groups queries keys"],
    scale: float,
) -> Float[Tensor, "batch queries heads width"]:
    """softmax(scale * query key' + added) value, each group of heads sharing a head of keys and values.

    The heads of a group are more rows of one product. Scores are rounded to the dtype of the query once,
    with what is added to them.
    """
    batch, heads, queries, width = query.shape
    groups, keys = key.shape[1:3]
    each = heads // groups
    rows = query.view(batch, groups, each, queries, width).transpose(2, 3)
    rows = rows.reshape(batch * groups, queries * each, width)
    bias = added[:, :, :, None].expand(batch, groups, queries, each, keys)
    scores = torch.baddbmm(
        bias.reshape(batch * groups, queries * each, keys),
        rows,
        key.reshape(batch * groups, keys, width).transpose(1, 2),
        alpha=scale,
    )
    found = torch.bmm(scores.softmax(dim=-1), value.reshape(batch * groups, keys, value.shape[-1]))
    split = found.view(batch, groups, queries, each, value.shape[-1])
    return split.transpose(1, 2).reshape(batch, queries, heads, value.shape[-1])


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
