"""Key-value caches of batches of different widths, joined and trimmed.

Keys and values are [rows, heads, columns, head width]. Every row ends at the right edge and is padded on the
left. A layer holds the last columns, all of them or those its sliding window still sees, so that distances
within a row are distances between columns whatever the batch's width; `cumulative_length` is the width that a
sliding layer takes itself to be of.
"""

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

JOINABLE = (DynamicLayer, DynamicSlidingWindowLayer)
"""Layers known to hold columns and nothing else; a subclass may hold more."""


def joinable(cache: Any) -> bool:
    """Whether `join` and `trim` know every layer of the cache."""
    return all(type(layer) in JOINABLE and layer.is_initialized for layer in cache.layers)


def trim(cache: Any, width: int) -> None:
    """Drop the columns before the last `width`, which every row has as padding."""
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys[:, :, -width:], layer.values[:, :, -width:]
        if layer.is_sliding:
            layer.cumulative_length = width


def join(cache: Any, other: Any) -> None:
    """Add the rows of another cache; the narrower of the two is padded."""
    for layer, new in zip(cache.layers, other.layers, strict=True):
        layer.keys, layer.values = _stacked(layer.keys, new.keys), _stacked(layer.values, new.values)
        if layer.is_sliding:
            layer.cumulative_length = max(layer.cumulative_length, new.cumulative_length)


def _stacked(one: Tensor, other: Tensor) -> Tensor:
    columns = max(one.shape[2], other.shape[2])
    padded = (torch.nn.functional.pad(part, (0, 0, columns - part.shape[2], 0)) for part in (one, other))
    return torch.cat(list(padded))
