"""Passes through a model side by side, each on its share of the processor.

Of a pass that two threads share much is computed by one of them while the other waits: what is small, what is
in order, what a library does not cut in two. Two passes side by side leave nobody waiting.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import nn
from transformers import PreTrainedModel

from gnomon.distributed import size
from gnomon.kernels.batching import alongside, by_length

T = TypeVar("T")
R = TypeVar("R")

LANES = 2
"""Passes at a time: each needs memory of its own."""

WORTH = 1 << 25
"""Weights from which on a pass takes its time in products; below it Python does, one thread at a time."""

SMALL = 8
"""Side by side each pass has gradients of its own: of no more than this part of the weights."""


def lanes(model: nn.Module) -> int:
    """How many passes through the model are computed side by side: 1 where it is small, trained in full or on
    a GPU, where it draws random numbers as it trains, and in one process of several."""
    weights = list(model.parameters())
    if size() > 1 or any(weight.device.type != "cpu" for weight in weights):
        return 1
    count = sum(weight.numel() for weight in weights)
    trained = sum(weight.numel() for weight in weights if weight.requires_grad)
    if count < WORTH or trained * SMALL > count or _draws(model):
        return 1
    return min(LANES, torch.get_num_threads())


def cut(model: nn.Module, lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Places of rows of these lengths in passes of like length. Those that are computed at a time hold at
    most so many tokens, padding included (a longer row: alone in its pass)."""
    count = lanes(model)
    return by_length(lengths, tokens) if count == 1 else alongside(lengths, max(1, tokens // count), count)


def side_by_side(work: Callable[[T], R], passes: Iterable[T], count: int) -> Iterator[R]:
    """What `work` gives for each, in order, of so many at a time."""
    if count == 1:
        yield from map(work, passes)
        return
    threads, differentiable = torch.get_num_threads(), torch.is_grad_enabled()

    def on_its_share(one: T) -> R:
        torch.set_num_threads(threads // count)
        with torch.set_grad_enabled(differentiable):
            return work(one)

    try:
        with ThreadPoolExecutor(count) as pool:
            yield from pool.map(on_its_share, passes)
    finally:
        torch.set_num_threads(threads)  # what a thread sets for itself, threads to come take up


def _draws(model: nn.Module) -> bool:
    """Whether dropout, or noise of another kind, is part of the model in training."""
    for module in model.modules():
        if isinstance(module, nn.Dropout) and module.p > 0:
            return True
        if isinstance(module, PreTrainedModel):
            noise = [
                value for name, value in vars(module.config).items() if "drop" in name or "jitter" in name
            ]
            if any(isinstance(value, int | float) and value > 0 for value in noise):
                return True
    return False
