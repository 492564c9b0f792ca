"""Passes through a model from which nothing is learnt."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import nn

from gnomon.kernels.branches import Branches
from gnomon.models.branches import batches
from gnomon.models.heads import without_dropout
from gnomon.models.lanes import lanes, side_by_side
from gnomon.models.load import LanguageModel
from gnomon.models.shards import evenly

T = TypeVar("T")
R = TypeVar("R")


@torch.no_grad()
def read_each(
    model: nn.Module,
    passes: Iterable[T],
    read: Callable[[T], R],
    count: int | None = None,
    alone: Callable[[T], bool] = lambda one: False,
) -> list[R]:
    """What is read from each pass, in order: without gradients and without dropout, `count` passes at a time,
    by default as many as the model has lanes, those that are to be `alone` by themselves. All processes must
    come to it together."""
    with evenly(model, passes) as own, without_dropout(model):
        return list(side_by_side(read, own, lanes(model) if count is None else count, alone))


def read_rows(
    lm: LanguageModel,
    rows: Sequence[Sequence[int]],
    tokens: int,
    read: Callable[[Branches], R],
    model: nn.Module | None = None,
) -> list[R]:
    """What is read from each batch of rows, of `model` where it is more than the language model. Batches that
    are read at a time hold at most so many tokens, padding included (a longer row: alone)."""
    own = lm.model if model is None else model
    count = lanes(own)
    return read_each(own, batches(lm, rows, tokens), read, count, lambda batch: batch.size > tokens // count)
