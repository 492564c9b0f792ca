"""A linear layer with a low-rank update, fused: no copy of the activations in float32, no separate addition.

Same mathematics as y = x W' + b + s (x A') B'; the layer's own product is added to the update before it is
rounded. The other way round, half a bit of a rounded output is more than all of a first update in bfloat16,
and two thirds of that are lost. Adapters stay float32 for the optimiser and are rounded once to the
activations' dtype.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def plain_lora_linear(
    x: Float[Tensor, "*rows inner"],
    weight: Float[Tensor, "outer inner"],
    bias: Float[Tensor, "outer"] | None,
    down: Float[Tensor, "rank inner"],
    up: Float[Tensor, "outer rank"],
    scale: float,
) -> Float[Tensor, "*rows outer"]:
    """The layer as it is written down: the reference for `lora_linear`."""
    update = functional.linear(functional.linear(x.to(down.dtype), down), up) * scale
    return (functional.linear(x, weight, bias) + update).to(x.dtype)


class _LoraLinear(torch.autograd.Function):
    """Frozen weight and bias; gradients of the input and of both low-rank factors."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        a, b = down.to(x.dtype), (up * scale).to(x.dtype)
        inner = rows @ a.T
        output = (inner @ b.T).addmm_(rows, weight.T)
        if bias is not None:
            output += bias
        ctx.save_for_backward(rows, weight, inner, a, b)
        ctx.scale, ctx.dtype = scale, down.dtype
        return output.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        rows, weight, inner, a, b = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1])
        grad_inner = grad @ b
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad_inner @ a).addmm_(grad, weight).view(*grads[0].shape[:-1], -1)
        grad_down = (grad_inner.T @ rows).to(ctx.dtype)
        grad_up = (grad.T @ inner).to(ctx.dtype) * ctx.scale
        return grad_x, None, None, grad_down, grad_up, None


def lora_linear(
    x: Float[Tensor, "*rows inner"],
    weight: Float[Tensor, "outer inner"],
    bias: Float[Tensor, "outer"] | None,
    down: Float[Tensor, "rank inner"],
    up: Float[Tensor, "outer rank"],
    scale: float,
) -> Float[Tensor, "*rows outer"]:
    """x W' + b + scale (x down') up', with gradients for x, down and up; weight and bias are frozen."""
    output: Tensor = _LoraLinear.apply(x, weight, bias, down, up, scale)  # type: ignore[no-untyped-call]
    return output
