"""Key-value caches of batches of different widths: grown without copying, joined and trimmed.

Keys and values are [rows, heads, columns, head width]. Every row ends at the right edge and is padded on the
left. A layer holds the last columns, all of them or those its sliding window still sees, so that distances
within a row are distances between columns whatever the batch's width; `cumulative_length` is the width that a
sliding layer takes itself to be of.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

ROOM = 64
"""Columns for which a buffer has room beside those it holds."""


class Growing:
    """Columns that are written behind those held so far, in a buffer that is copied only when it is full."""

    def __init__(self) -> None:
        self.held: Tensor | None = None
        self.buffer = torch.empty(0, 0, 0, 0)

    def grown(self, held: Tensor, new: Tensor) -> Tensor:
        """The columns `held` and then the `new` ones; a copy where `held` is not what was given last."""
        columns, whole = held.shape[2], held.shape[2] + new.shape[2]
        if held is not self.held or whole > self.buffer.shape[2]:
            self.buffer = held.new_empty(*held.shape[:2], whole + ROOM, held.shape[3])
            self.buffer[:, :, :columns] = held
        self.buffer[:, :, columns:whole] = new
        self.held = self.buffer[:, :, :whole]
        return self.held


class Columns(DynamicLayer):  # type: ignore[misc]
    """All columns of a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.grow = Growing(), Growing()

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Take columns up; all there are now."""
        self.keys, self.values = _grown(self, key_states, value_states)
        return self.keys, self.values


class WindowColumns(DynamicSlidingWindowLayer):  # type: ignore[misc]
    """Those columns of a layer that its sliding window will still see."""

    def __init__(self, sliding_window: int) -> None:
        super().__init__(sliding_window)
        self.grow = Growing(), Growing()

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Take columns up; what they themselves see."""
        keys, values = _grown(self, key_states, value_states)
        self.cumulative_length += key_states.shape[2]
        kept = self.sliding_window - 1
        full = keys.shape[2] > kept
        self.keys, self.values = (keys[:, :, -kept:], values[:, :, -kept:]) if full else (keys, values)
        return keys, values


def _grown(layer: Any, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    if not layer.is_initialized:
        layer.lazy_initialization(keys, values)
        return keys, values
    of_keys, of_values = layer.grow
    return of_keys.grown(layer.keys, keys), of_values.grown(layer.values, values)


def new_cache(config: Any) -> DynamicCache:
    """An empty cache of a model: its usual layers grow without copying, unusual ones are as transformers has
    them."""
    cache = DynamicCache(config=config)
    cache.layers = [_growing(layer) for layer in cache.layers]
    return cache


def _growing(layer: Any) -> Any:
    """A subclass may hold more than columns, and stays."""
    if type(layer) is DynamicLayer:
        return Columns()
    return WindowColumns(layer.sliding_window) if type(layer) is DynamicSlidingWindowLayer else layer


def joinable(cache: Any) -> bool:
    """Whether `join` and `trim` know every layer of the cache."""
    return all(isinstance(layer, Columns | WindowColumns) and layer.is_initialized for layer in cache.layers)


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
