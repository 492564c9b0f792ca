"""Passes through a model side by side, each on its share of the processor.

Of a pass that two threads share much is computed by one of them while the other waits: what is small, what is
in order, what a library does not cut in two. Two passes side by side leave nobody waiting.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby, islice
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
    a GPU, where it draws random numbers as it trains or turns by the longest row it has seen, and in one
    process of several."""
    weights = list(model.parameters())
    if size() > 1 or any(weight.device.type != "cpu" for weight in weights):
        return 1
    count = sum(weight.numel() for weight in weights)
    trained = sum(weight.numel() for weight in weights if weight.requires_grad)
    if count < WORTH or trained * SMALL > count or _draws(model) or _turns(model):
        return 1
    return 1 if torch.get_num_threads() % LANES else LANES  # of three threads one would have nothing to do


def cut(model: nn.Module, lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Places of rows of these lengths in passes of like length. Those that are computed at a time hold at
    most so many tokens, padding included (a longer row: alone in its pass)."""
    count = lanes(model)
    return by_length(lengths, tokens) if count == 1 else alongside(lengths, max(1, tokens // count), count)


def side_by_side(
    work: Callable[[T], R],
    passes: Iterable[T],
    count: int,
    alone: Callable[[T], bool] = lambda one: False,
) -> Iterator[R]:
    """What `work` gives for each, in order, of so many at a time. One that is to be `alone`, or that has none
    beside it, has all threads. Few are taken ahead of what is asked for."""
    for apart, part in groupby(passes, alone):
        yield from _beside(work, part, 1 if apart else count)


def _beside(work: Callable[[T], R], passes: Iterator[T], count: int) -> Iterator[R]:
    if count == 1:
        yield from map(work, passes)
        return
    ahead = list(islice(passes, 2 * count))
    with _sharing(min(count, len(ahead))) as pool:
        begun = deque(pool.submit(work, one) for one in ahead)
        for one in passes:
            yield begun.popleft().result()
            begun.append(pool.submit(work, one))
        while begun:
            yield begun.popleft().result()


@contextmanager
def _sharing(count: int) -> Iterator[ThreadPoolExecutor]:
    """So many lanes, each with its share of the threads, that want gradients where they are wanted here. What
    has not begun at the end of the block never does."""
    threads, differentiable = torch.get_num_threads(), torch.is_grad_enabled()

    def share() -> None:
        torch.set_num_threads(threads // count)
        torch.set_grad_enabled(differentiable)

    pool = ThreadPoolExecutor(count, initializer=share)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
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


def _turns(model: nn.Module) -> bool:
    """Whether a pass sets by its own length the frequencies that positions turn by, where all passes read."""
    for module in model.modules():
        kinds = getattr(module, "rope_type", "")  # of the model, or of each type of layer
        for kind in kinds.values() if isinstance(kinds, Mapping) else [kinds]:
            if "dynamic" in kind or kind == "longrope":
                return True
    return False
