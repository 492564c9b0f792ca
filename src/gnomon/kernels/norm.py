"""Root-mean-square norms that keep their input alone for the backward pass.

Written down as it is, a norm of bfloat16 keeps float32 copies of what it normalises, and goes over them once
for each operation; a decoder layer has four or six of them.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gnomon.kernels.head import wide


def plain_rms_norm(
    x: Float[Tensor, "*rows width"], factor: Float[Tensor, "width"], eps: float, *, rounds_first: bool
) -> Float[Tensor, "*rows width"]:
    """x / sqrt(mean(x^2) + eps) times a factor a column (arXiv:1910.07467), in float32 (float64 for float64).

    It is rounded to the dtype of x before it is multiplied (`rounds_first`, as Llama has it) or after, as
    Gemma has it.
    """
    precise = x.to(wide(x.dtype))
    normed = precise * torch.rsqrt(precise.pow(2).mean(-1, keepdim=True) + eps)
    return factor * normed.to(x.dtype) if rounds_first else (normed * factor).to(x.dtype)


class _RmsNorm(torch.autograd.Function):
    """Gradients of the input and of the factor, from the input and one number a row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor, eps: float, rounds_first: bool) -> Tensor:  # noqa: FBT001
        precise = x.to(wide(x.dtype))
        inverse = torch.rsqrt(precise.pow(2).mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, factor, inverse)
        normed = precise * inverse
        return factor * normed.to(x.dtype) if rounds_first else normed.mul_(factor).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, factor, inverse = ctx.saved_tensors
        upstream, normed = grads[0].to(inverse.dtype), x.to(inverse.dtype) * inverse
        grad_factor = None
        if ctx.needs_input_grad[1]:
            grad_factor = (upstream * normed).flatten(0, -2).sum(dim=0).to(factor.dtype)
        grad = upstream * factor.to(inverse.dtype)
        along = torch.linalg.vecdot(grad, normed)[..., None].div_(x.shape[-1])
        return grad.addcmul_(normed, along, value=-1).mul_(inverse).to(x.dtype), grad_factor, None, None


def rms_norm(
    x: Float[Tensor, "*rows width"], factor: Float[Tensor, "width"], eps: float, *, rounds_first: bool
) -> Float[Tensor, "*rows width"]:
    """`plain_rms_norm`, the same to the bit, with less to keep and fewer passes."""
    if torch.is_grad_enabled() and (x.requires_grad or factor.requires_grad):
        normed: Tensor = _RmsNorm.apply(x, factor, eps, rounds_first)  # type: ignore[no-untyped-call]
        return normed
    precise, shape = x.to(wide(x.dtype)), factor.shape
    if rounds_first:
        return factor * functional.rms_norm(precise, shape, None, eps).to(x.dtype)
    return functional.rms_norm(precise, shape, factor, eps).to(x.dtype)
