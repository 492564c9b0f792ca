"""Activation checkpointing: the backward pass computes each layer again from its input, the rest is not kept.

transformers' own switch does this in training mode alone. Here it holds wherever there is a gradient, also of
objectives that run without dropout to compare policies; and the second forward pass of a layer is in the mode
of the first, whatever the model has been put into since.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from gnomon.errors import ConfigError


def recompute_layers(model: nn.Module) -> None:
    """From now on every layer of the model keeps its input alone; call it once."""
    layers = decoder_layers(model)
    if not layers:
        raise ConfigError(
            f"{type(model).__name__} has no layers that transformers can checkpoint; set "
            "model.activation_checkpointing=false"
        )
    for layer in layers:
        layer.forward = partial(_recomputed, layer, layer.forward)


def decoder_layers(model: nn.Module) -> list[nn.Module]:
    """The layers that a model is a stack of, as transformers marks them."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def _recomputed(layer: nn.Module, plain: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return plain(*args, **kwargs)
    modes = {module: module.training for module in layer.modules()}

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _in_modes(modes)

    return checkpoint(plain, *args, use_reentrant=False, context_fn=contexts, **kwargs)


@contextmanager
def _in_modes(modes: Mapping[nn.Module, bool]) -> Iterator[None]:
    """Inside the block each module trains or evaluates as it did; then again as now."""
    now = {module: module.training for module in modes}
    _put(modes)
    try:
        yield
    finally:
        _put(now)


def _put(modes: Mapping[nn.Module, bool]) -> None:
    for module, training in modes.items():
        module.training = training
