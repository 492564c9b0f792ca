"""The optimiser and its schedule: functions of the step alone, so that a resumed run meets the same rates."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grads_with_norm_

from gnomon.config import OptimSettings
from gnomon.kernels.head import wide


def learning_rate(step: int, steps: int, settings: OptimSettings) -> float:
    """The rate of a 0-based step: linear warm-up, then down to a tenth (cosine) or to zero (linear)."""
    warm = math.ceil(settings.warmup * steps)
    if step < warm:
        return settings.lr * (step + 1) / (warm + 1)
    share = (step - warm) / max(1, steps - warm)
    match settings.schedule:
        case "constant":
            return settings.lr
        case "linear":
            return settings.lr * (1 - share)
        case "cosine":
            return settings.lr * (0.1 + 0.45 * (1 + math.cos(math.pi * share)))


def adamw(parameters: Iterable[Parameter], settings: OptimSettings) -> torch.optim.AdamW:
    """AdamW on the parameters that train (narrow ones by their `Masters`); weight decay on matrices only."""
    masters = Masters(p for p in parameters if p.requires_grad)
    trained = masters.stepped
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
    )
    masters.serve(optimizer)
    return optimizer


class Masters:
    """Float32 copies of narrower weights: the optimiser steps these, and the weights follow, rounded.

    A bfloat16 weight has 8 bits of mantissa: updates below half its last bit, all of a usual run, are lost
    where it is stepped itself. The copies are in the optimiser's state_dict, so that a run goes on exactly.
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        pairs = [(p, _master(p)) for p in parameters]
        self.stepped = [master for _, master in pairs]
        self.narrow = [(weight, master) for weight, master in pairs if master is not weight]

    def serve(self, optimizer: torch.optim.Optimizer) -> None:
        """From now on the optimiser takes the weights' gradients, moves the weights, and keeps the copies."""
        if self.narrow:
            optimizer.register_step_pre_hook(self._gather)
            optimizer.register_step_post_hook(self._round)
            optimizer.register_state_dict_post_hook(self._keep)
            optimizer.register_load_state_dict_pre_hook(self._take_up)

    def _gather(self, *call: Any) -> None:
        for weight, master in self.narrow:
            master.grad = None if weight.grad is None else weight.grad.to(master.dtype)

    @torch.no_grad()
    def _round(self, *call: Any) -> None:
        for weight, master in self.narrow:
            weight.copy_(master)
            weight.grad = master.grad = None

    def _keep(self, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        state["masters"] = [master.detach() for _, master in self.narrow]

    @torch.no_grad()
    def _take_up(self, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        for (weight, master), saved in zip(self.narrow, state["masters"], strict=True):
            master.copy_(saved)
            weight.copy_(master)


def _master(weight: Parameter) -> Parameter:
    dtype = wide(weight.dtype)
    return weight if weight.dtype == dtype else Parameter(weight.detach().to(dtype))


def clip(parameters: Iterable[Parameter], max_norm: float) -> Tensor:
    """The norm of all gradients together, float32 whatever they are; above `max_norm` they shrink to it."""
    trained = [p for p in parameters if p.grad is not None]
    grads = [p.grad for p in trained if p.grad is not None]
    norms = [torch.linalg.vector_norm(grad, dtype=wide(grad.dtype)) for grad in grads]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms or [torch.zeros(())]))
    clip_grads_with_norm_(trained, max_norm, norm)
    return norm
