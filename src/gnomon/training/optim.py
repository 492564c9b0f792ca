"""The optimiser and its schedule: functions of the step alone, so that a resumed run meets the same rates."""

import math
from collections.abc import Iterable

import torch
from torch.nn import Parameter

from gnomon.config import OptimSettings


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
    """AdamW on the parameters that train; weight decay on matrices only."""
    trained = [p for p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
    )
