"""Matrix products with weights laid out once the way the processor wants them.

oneDNN brings a weight into its own layout before it multiplies. With few rows, as in decoding, that costs as
much as the product itself; what is multiplied hundreds of times is laid out once. The products are the same.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Product = Callable[[Tensor], Tensor]
Sum = Callable[[Tensor, Tensor], Tensor]


def linear(weight: Float[Tensor, "outer inner"], bias: Float[Tensor, "outer"] | None = None) -> Product:
    """x -> x W' + b for x [..., inner], of the weights as they are now; there are no gradients.

    bfloat16 on a processor that multiplies it is laid out, which takes as much memory again as the weight;
    anything else is multiplied as it is.
    """
    weight, bias = weight.detach(), None if bias is None else bias.detach()
    if not packs(weight):
        return lambda x: functional.linear(x, weight, bias)
    laid = torch.ops.mkldnn._reorder_linear_weight(weight)
    multiply = torch.ops.mkldnn._linear_pointwise
    return lambda x: multiply(x, laid, bias, "none", [], "")


def added(weight: Float[Tensor, "outer inner"]) -> Sum:
    """(x, y) -> y + x W' for x [rows, inner] and y [rows, outer], rounded once; otherwise as `linear`."""
    weight = weight.detach()
    if not packs(weight):
        return lambda x, y: torch.addmm(y, x, weight.T)
    laid = torch.ops.mkldnn._reorder_linear_weight(weight)
    multiply = torch.ops.mkldnn._linear_pointwise.binary
    return lambda x, y: multiply(x, y, laid, None, "add")


def packs(weight: Tensor) -> bool:
    """Whether `linear` and `added` lay the weight out."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
