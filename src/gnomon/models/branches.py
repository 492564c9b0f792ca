"""Hidden states of rows that share their beginnings, under any model that takes its masks from outside."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from gnomon.kernels.attention import added_to_scores
from gnomon.kernels.branches import LONGEST, Branches, Group, lay_out, sharing, visible
from gnomon.models import attention
from gnomon.models.heads import body, hidden_states, without_dropout
from gnomon.models.lanes import cut
from gnomon.models.load import LanguageModel

log = logging.getLogger(__name__)

MASKED = ("eager", "sdpa", attention.NAME)
"""Implementations of attention that take any dense mask."""

_able: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def groups_of(lm: LanguageModel, rows: Sequence[Sequence[int]], micro_tokens: int) -> list[Group]:
    """Rows in the groups they are computed in; each alone where the model computes none together."""
    return sharing(rows, min(LONGEST, micro_tokens) if shares(lm.model) else 0)


def batches(lm: LanguageModel, rows: Sequence[Sequence[int]], micro_tokens: int) -> Iterator[Branches]:
    """All rows in batches; those computed at a time have at most `micro_tokens` padded tokens."""
    groups = groups_of(lm, rows, micro_tokens)
    for picked in cut(lm.model, [group.length for group in groups], micro_tokens):
        yield lay_out(rows, [groups[k] for k in picked], lm.pad_id, lm.device)


def branch_states(model: Any, batch: Branches) -> Tensor:
    """Last hidden states [batch * seq, width], for `batch.places` to point into."""
    if not batch.shared:
        return hidden_states(model, batch.input_ids, batch.segments >= 0).flatten(0, 1)
    inner = body(model)
    output = inner(
        input_ids=batch.input_ids,
        attention_mask=_masks(inner, batch),
        position_ids=batch.positions,
        use_cache=False,
    )
    states: Tensor = output.last_hidden_state.flatten(0, 1)
    return states


def shares(model: Any) -> bool:
    """Whether the model computes rows that share a beginning as it does each alone; tried once."""
    inner = body(model)
    if inner not in _able:
        _able[inner] = _agrees(model)
        if not _able[inner]:
            log.warning(
                "%s does not compute rows that share a prompt as it computes each alone; every prompt is "
                "computed once for each of its answers, which is slower",
                type(inner).__name__,
            )
    return _able[inner]


def _masks(inner: Any, batch: Branches) -> Tensor | dict[str, Tensor]:
    """What is added to attention's scores [batch, 1, seq, seq]: one mask for all layers, or one a type.

    Models whose settings list `layer_types` take a dict of masks; of the others, those with a
    `sliding_window` have it in every layer.
    """
    window, types = getattr(inner.config, "sliding_window", None), getattr(inner.config, "layer_types", None)
    if types is None:
        return _added(batch, window, inner.dtype)
    windows = {"full_attention": None, "sliding_attention": window}
    return {kind: _added(batch, windows[kind], inner.dtype) for kind in set(types)}


def _added(batch: Branches, window: int | None, dtype: torch.dtype) -> Tensor:
    seen = visible(batch.segments, batch.positions, window)[:, None]
    return added_to_scores(seen, dtype)


@torch.no_grad()
def _agrees(model: Any) -> bool:
    """Two rows that share four tokens against each alone; a sliding window spans three meanwhile."""
    config = body(model).config
    if config._attn_implementation not in MASKED:
        return False
    rows = [[1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 8, 9]]
    device = next(model.parameters()).device
    batch = lay_out(rows, [Group(((0,), (1,)), 13, 4)], 0, device)
    with without_dropout(model), _narrow(config):
        apart = [
            hidden_states(model, ids, torch.ones_like(ids, dtype=torch.bool))[0]
            for ids in (torch.tensor([row], device=device) for row in rows)
        ]
        try:
            states = branch_states(model, batch)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
            return False  # what architectures raise at masks they do not take
    tolerance = max(1e-4, 8 * torch.finfo(states.dtype).eps)
    return all(
        float((states[places] - alone).norm()) <= tolerance * float(alone.norm())
        for places, alone in zip(batch.places.values(), apart, strict=True)
    )


@contextmanager
def _narrow(config: Any) -> Iterator[None]:
    """Inside the block a sliding window spans three tokens, so that a short row leaves it."""
    window = getattr(config, "sliding_window", None)
    if window is not None:
        config.sliding_window = 3
    try:
        yield
    finally:
        if window is not None:
            config.sliding_window = window
