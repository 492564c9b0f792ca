"""The optimiser and its schedule: functions of the step alone, so that a resumed run meets the same rates."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grads_with_norm_

from gnomon.distributed import add_up
from gnomon.kernels.head import wide
from gnomon.models.shards import is_part, like_part, part_of
from gnomon.settings.base import AdamSettings
from gnomon.training.parts import taken


def learning_rate(step: int, steps: int, settings: AdamSettings) -> float:
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


def adamw(
    parameters: Iterable[Parameter],
    settings: AdamSettings,
    *apart: tuple[Iterable[Parameter], AdamSettings],
) -> torch.optim.AdamW:
    """AdamW on the parameters that train (narrow ones by their `Masters`); weight decay on matrices only.

    Fused: all of a parameter's update in one pass, without temporary tensors as large as all of them.

    Those `apart` have settings of their own. A group's `part` is 0, or which of them it is of, from 1.
    """
    parts = [([p for p in own if p.requires_grad], by) for own, by in ((parameters, settings), *apart)]
    masters = Masters(p for own, _ in parts for p in own)
    stepped = iter(masters.stepped)
    groups = [
        group
        for part, (own, by) in enumerate(parts)
        for group in _groups([next(stepped) for _ in own], by, part)
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings.lr, fused=True)
    masters.serve(optimizer)
    return optimizer


def _groups(trained: Sequence[Parameter], settings: AdamSettings, part: int) -> list[dict[str, Any]]:
    own = {"lr": settings.lr, "betas": settings.betas, "eps": settings.eps, "part": part}
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": settings.weight_decay, **own},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0, **own},
    ]
    return [group for group in groups if group["params"]]


class Masters:
    """What the optimiser steps in the place of weights: float32 copies of narrower ones, and of those that
    are shared out this process's part.

    A bfloat16 weight has 8 bits of mantissa: updates below half its last bit, all of a usual run, are lost
    where it is stepped itself. The copies are in the optimiser's state_dict, so that a run goes on exactly.
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        pairs = [(p, _master(p)) for p in parameters]
        self.stepped = [master for _, master in pairs]
        self.replaced = [(weight, master) for weight, master in pairs if master is not weight]
        self.narrow = [(weight, master) for weight, master in self.replaced if master.dtype != weight.dtype]
        self._weights = {master: weight for weight, master in pairs}

    def serve(self, optimizer: torch.optim.Optimizer) -> None:
        """From now on the optimiser takes the weights' gradients, moves the weights, and keeps the copies."""
        optimizer.register_load_state_dict_pre_hook(self._take_up)
        if self.replaced:
            optimizer.register_step_pre_hook(self._gather)
            optimizer.register_step_post_hook(self._round)
            optimizer.register_state_dict_post_hook(self._keep)

    def _gather(self, *call: Any) -> None:
        """Gradients go over to the copies; whole ones, as large as all weights, are let go at once."""
        for weight, master in self.replaced:
            master.grad = None if weight.grad is None else part_of(weight.grad).to(master.dtype)
            if not is_part(weight):
                weight.grad = None

    @torch.no_grad()
    def _round(self, *call: Any) -> None:
        for weight, master in self.narrow:
            part_of(weight).copy_(master)
        for weight, master in self.replaced:
            weight.grad = master.grad = None

    def _keep(self, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """Moments are shared out as their weights are."""
        weights = self._in_order(optimizer)
        state["state"] = {
            place: {name: like_part(value, weights[place]) for name, value in own.items()}
            for place, own in state["state"].items()
        }
        if self.narrow:
            state["masters"] = [like_part(master.detach(), weight) for weight, master in self.narrow]

    @torch.no_grad()
    def _take_up(self, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        for (weight, master), saved in zip(self.narrow, state.get("masters", ()), strict=True):
            master.copy_(taken(saved, weight))
            part_of(weight).copy_(master)
        weights = self._in_order(optimizer)
        moments = {
            place: {name: taken(value, weights[place]) for name, value in own.items()}
            for place, own in state["state"].items()
        }
        return {**state, "state": moments}

    def _in_order(self, optimizer: torch.optim.Optimizer) -> list[Parameter]:
        """The weights in the order in which the optimiser numbers what it steps."""
        return [self._weights[master] for group in optimizer.param_groups for master in group["params"]]


def _master(weight: Parameter) -> Parameter:
    dtype = wide(weight.dtype)
    if is_part(weight) or weight.dtype != dtype:
        return Parameter(part_of(weight).detach().to(dtype))
    return weight


def clip(parameters: Iterable[Parameter], max_norm: float) -> Tensor:
    """The norm of all gradients together, float32 whatever they are; above `max_norm` they shrink to it.

    Of those that are shared out it is the norm of all parts, the same on every process.
    """
    trained = [p for p in parameters if p.grad is not None]
    norm = _norm([p for p in trained if not is_part(p)])
    if parts := [_own(p) for p in trained if is_part(p)]:
        square = _norm(parts) ** 2
        add_up([square])
        norm = torch.linalg.vector_norm(torch.stack([norm.to(square), square.sqrt()]))
    clip_grads_with_norm_([_own(p) for p in trained], max_norm, norm)
    return norm


def _norm(parameters: Iterable[Parameter]) -> Tensor:
    grads = [p.grad for p in parameters if p.grad is not None]
    norms = [torch.linalg.vector_norm(grad, dtype=wide(grad.dtype)) for grad in grads]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms or [torch.zeros(())]))
    return norm


def _own(weight: Parameter) -> Parameter:
    """The weight, or this process's part of it, with the gradient's memory."""
    if not is_part(weight) or weight.grad is None:
        return weight
    own = Parameter(part_of(weight))
    own.grad = part_of(weight.grad)
    return own
