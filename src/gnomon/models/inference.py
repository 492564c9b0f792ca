"""A model made ready for many small forward passes without gradients."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gnomon.kernels.head import Head
from gnomon.kernels.packed import added, linear
from gnomon.models.fuse import only_adapter, plain_lora
from gnomon.models.heads import body, output_head, without_dropout
from gnomon.models.shards import whole


@contextmanager
def ready(model: Any) -> Iterator[None]:
    """Inside the block the body's linear layers use weights laid out for the processor, and adapters rounded
    once; there is no dropout. The weights must not change meanwhile, and nothing is differentiable.

    Layers that are shared out are gathered for the block, for processes decode as many tokens as their own
    answers have: all must come to it together.
    """
    held: set[nn.Module] = set()
    changed: list[tuple[nn.Module, Any]] = []
    with whole(model), without_dropout(model), torch.no_grad():
        for module in body(model).modules():
            forward = None if module in held else _forward(module)
            if forward is not None:
                held.update(module.modules())
                changed.append((module, module.__dict__.get("forward")))
                module.forward = forward
        try:
            yield
        finally:
            for module, before in changed:
                del module.forward
                if before is not None:
                    module.forward = before


def ready_head(model: Any) -> Head:
    """The output head, its weight laid out as it is now; it trains nothing."""
    head = output_head(model)
    bias = None if head.bias is None else head.bias.detach()
    return replace(head, weight=head.weight.detach(), bias=bias, added=added(head.weight))


def _forward(module: Any) -> Callable[..., Tensor] | None:
    """What the layer computes, faster; None where it is no plain linear layer, or has adapters of a kind that
    it alone computes."""
    if type(module) is nn.Linear:
        return linear(module.weight, module.bias)
    if plain_lora(module):
        adapter = only_adapter(module)
        if adapter is not None:
            base = module.get_base_layer()
            return _adapted(base.weight, base.bias, *adapter)
    return None


def _adapted(
    weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
) -> Callable[[Tensor], Tensor]:
    """A layer with its low-rank update, rounded as `kernels.lora` rounds it."""
    first, second = down.to(weight.dtype).T, (up * scale).to(weight.dtype).T
    multiply = added(weight)

    def forward(x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        output = multiply(rows, rows @ first @ second)
        if bias is not None:
            output += bias
        return output.view(*x.shape[:-1], -1)

    return forward
