"""A model made ready for a processor: its attention and its norms computed by our kernels, where these give
the same numbers."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from gnomon.kernels.head import wide
from gnomon.kernels.norm import rms_norm
from gnomon.models.attention import NAME


def settled(model: Any) -> Any:
    """The model itself; what it computes, and what is saved of it, is unchanged."""
    if model.device.type != "cpu":
        return model
    if model.config._attn_implementation == "sdpa" and model._supports_attention_backend:
        model.set_attn_implementation(NAME)
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            settle_norm(module)
    return model


@torch.no_grad()
def settle_norm(norm: Any) -> None:
    """Some architectures multiply by the weight, some by one more than it, before they round or after: by
    whichever gives what this norm gives it is computed; one that gives something else stays as it is."""
    eps, weight = getattr(norm, "variance_epsilon", getattr(norm, "eps", None)), getattr(norm, "weight", None)
    if eps is None or weight is None or weight.ndim != 1:
        return
    x = torch.linspace(-3, 5, 7 * len(weight)).view(7, -1).sin().to(weight.dtype)
    wanted = norm(x)
    for above, rounds_first in ((1, False), (0, True)):
        way = partial(_normed, norm, eps, above, rounds_first)
        if torch.equal(way(x), wanted):
            norm.forward = way
            return


def _normed(norm: Any, eps: float, above: int, rounds_first: bool, x: Tensor) -> Tensor:  # noqa: FBT001
    factor = norm.weight if rounds_first else above + norm.weight.to(wide(x.dtype))
    return rms_norm(x, factor, eps, rounds_first=rounds_first)
