"""A gated feed-forward layer with low-rank updates, fused.

down(act(gate(x)) * up(x)), written down as it is, keeps four tensors of the inner width for its backward
pass, half of all that a decoder layer holds; here the product is made again, which costs less than keeping
it. Gate and up read the same input: their factors of rank r make one product of rank 2 r.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gnomon.kernels.lora import plain_lora_linear


class Activation(NamedTuple):
    """A function of each number by itself, and the gradient of its input given the output's and the input."""

    function: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]


ACTIVATIONS = {
    "silu": Activation(functional.silu, torch.ops.aten.silu_backward),
    "gelu": Activation(functional.gelu, torch.ops.aten.gelu_backward),
    "gelu_tanh": Activation(
        partial(functional.gelu, approximate="tanh"),
        partial(torch.ops.aten.gelu_backward, approximate="tanh"),
    ),
}
"""What gates are opened by, by nearly all models."""


class Adapted(NamedTuple):
    """A frozen weight [outer, inner], the factors of its update [rank, inner] and [outer, rank], and their
    scale."""

    weight: Tensor
    down: Tensor
    up: Tensor
    scale: float


def plain_lora_mlp(
    x: Float[Tensor, "*rows width"], gate: Adapted, up: Adapted, down: Adapted, act: Activation
) -> Float[Tensor, "*rows width"]:
    """The layer as it is written down: the reference for `lora_mlp`."""

    def through(layer: Adapted, x: Tensor) -> Tensor:
        return plain_lora_linear(x, layer.weight, None, layer.down, layer.up, layer.scale)

    return through(down, act.function(through(gate, x)) * through(up, x))


class _LoraMlp(torch.autograd.Function):
    """Frozen weights; gradients of the input and of the six low-rank factors, gate's, up's and down's."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, act: Activation, layers: tuple[Adapted, Adapted, Adapted], *factors: Tensor
    ) -> Tensor:
        gate, up, down = layers
        rows = x.reshape(-1, x.shape[-1])
        read, last = (each.to(x.dtype) for each in (torch.cat([gate.down, up.down]), down.down))
        writes = [(layer.up * layer.scale).to(x.dtype) for layer in layers]
        inner = rows @ read.T
        of_gate, of_up = inner.tensor_split([len(gate.down)], dim=-1)
        gated = (of_gate @ writes[0].T).addmm_(rows, gate.weight.T)
        upper = (of_up @ writes[1].T).addmm_(rows, up.weight.T)
        opened = act.function(gated)
        hidden = opened * upper
        of_down = hidden @ last.T
        output = (of_down @ writes[2].T).addmm_(hidden, down.weight.T)
        weights = [layer.weight for layer in layers]
        ctx.save_for_backward(rows, gated, opened, upper, inner, of_down, read, last, *writes, *weights)
        ctx.act, ctx.layers = act, [(layer.scale, layer.down.dtype) for layer in layers]
        return output.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        rows, gated, opened, upper, inner, of_down, read, last, *others = ctx.saved_tensors
        writes, (gate, up, down) = others[:3], others[3:]
        rank = writes[0].shape[1]
        of_gate, of_up = inner.tensor_split([rank], dim=-1)
        grad = grads[0].reshape(-1, grads[0].shape[-1])
        grad_of_down = grad @ writes[2]
        grad_hidden = (grad_of_down @ last).addmm_(grad, down)
        grad_last = grad_of_down.T @ (opened * upper)
        grad_upper = grad_hidden * opened
        grad_gated = ctx.act.gradient(grad_hidden.mul_(upper), gated)
        grad_inner = torch.cat([grad_gated @ writes[0], grad_upper @ writes[1]], dim=-1)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad_inner @ read).addmm_(grad_gated, gate).addmm_(grad_upper, up)
            grad_x = grad_x.view(*grads[0].shape[:-1], -1)
        grad_reads = (*(grad_inner.T @ rows).tensor_split([rank]), grad_last)
        grad_writes = (grad_gated.T @ of_gate, grad_upper.T @ of_up, grad.T @ of_down)
        found = []
        for own, (scale, dtype) in enumerate(ctx.layers):
            found += [grad_reads[own].to(dtype), grad_writes[own].to(dtype) * scale]
        return grad_x, None, None, *found


def lora_mlp(
    x: Float[Tensor, "*rows width"], gate: Adapted, up: Adapted, down: Adapted, act: Activation
) -> Float[Tensor, "*rows width"]:
    """down(act(gate(x)) * up(x)), with gradients for x and all factors; weights are frozen."""
    layers = (gate, up, down)
    factors = [factor for layer in layers for factor in (layer.down, layer.up)]
    output: Tensor = _LoraMlp.apply(x, act, layers, *factors)  # type: ignore[no-untyped-call]
    return output
