"""The fused language-model head: log-probs, loss and gradient of labelled rows, tile by tile.

Logits of a vocabulary of 262,144 words are the largest tensor of a training step and mostly of no use: here
they live for one tile of rows at a time. Where the loss is a weighted sum of log-probs the gradient is
computed in the forward pass, the weights being known: a tile costs two products, logits and gradient. Where
it is another function of log-probs (pairs), the forward pass of a frozen head keeps each row's own gradient.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import psutil
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

SHARE = 128
"""A tile of float32 logits may take this part of a machine's memory: the more rows it has, the fewer times
the head's weights are read. At 262,144 words tiles of 24, 96 and 384 MiB took 2.0, 1.2 and 1.0 seconds of one
core for 256 rows, 640 wide; at 32,768 words they are within an eighth of one another."""

SMALLEST, LARGEST = 24 << 20, 384 << 20
"""Bytes of a tile, however little or much memory there is. A pass holds two to three times as many."""


def tile_bytes(memory: int) -> int:
    """Bytes of a tile where there are so many of memory: of all of it, not of what is free at the moment, for
    a tile's rows decide how sums are rounded, and a resumed run ends as one that was never cut."""
    return min(max(memory // SHARE, SMALLEST), LARGEST)


@cache
def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return int(psutil.virtual_memory().total)


@dataclass(frozen=True)
class Head:
    """logits = softcap * tanh(scale * (h @ weight.T + bias) / softcap)."""

    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None
    tile_bytes: int | None = None

    @property
    def tile(self) -> int:
        """Rows of float32 logits that fit `tile_bytes`, by default what the memory of the device suggests."""
        held = tile_bytes(_memory(self.weight.device)) if self.tile_bytes is None else self.tile_bytes
        return max(8, held // (4 * self.weight.shape[0]))


def wide(dtype: torch.dtype) -> torch.dtype:
    """What is summed in: float32, or float64 for a model that is float64 itself."""
    return torch.promote_types(dtype, torch.float32)


@dataclass(frozen=True)
class SoftTargets:
    """What each row's next word should be, by probabilities: `probs` of the words `ids`, as a teacher's
    likeliest come, or of the whole vocabulary where `ids` is None. A row of which only part is known, and
    sums to less than 1, weighs less by as much."""

    probs: Float[Tensor, "rows words"]
    ids: Int[Tensor, "rows words"] | None = None

    def __getitem__(self, part: slice) -> "SoftTargets":
        return SoftTargets(self.probs[part], None if self.ids is None else self.ids[part])

    def mass(self, dtype: torch.dtype) -> Float[Tensor, "rows"]:
        """How much of each row is known."""
        return self.probs.to(dtype).sum(dim=-1)

    def mean(self, values: Float[Tensor, "rows vocab"]) -> Float[Tensor, "rows"]:
        """The sum over words of their values, each times its probability."""
        own = values if self.ids is None else values.gather(1, self.ids)
        mean: Tensor = torch.linalg.vecdot(self.probs.to(own.dtype), own)
        return mean

    def taken_from(self, values: Float[Tensor, "rows vocab"]) -> Float[Tensor, "rows vocab"]:
        """`values` less the probabilities, as if these summed to 1; in place."""
        mass = self.mass(values.dtype).clamp(min=torch.finfo(values.dtype).tiny)
        shares = self.probs.to(values.dtype) / -mass[:, None]
        return values.add_(shares) if self.ids is None else values.scatter_add_(1, self.ids, shares)


def certain(targets: Int[Tensor, "rows"]) -> SoftTargets:
    """One word a row, with probability 1."""
    return SoftTargets(torch.ones_like(targets, dtype=torch.float32)[:, None], targets[:, None])


def head_logits(hidden: Float[Tensor, "rows width"], head: Head) -> Float[Tensor, "rows vocab"]:
    """The plain head, float32 (float64 for a float64 model): the reference for what is fused below."""
    logits = (hidden @ head.weight.T).to(wide(hidden.dtype))
    if head.bias is not None:
        logits = logits + head.bias.to(logits.dtype)
    if head.scale != 1.0:
        logits = logits * head.scale
    return logits if head.softcap is None else head.softcap * torch.tanh(logits / head.softcap)


def plain_logps(
    hidden: Float[Tensor, "rows width"], head: Head, targets: Int[Tensor, "rows"], temperature: float = 1.0
) -> Float[Tensor, "rows"]:
    """Log-probs of `targets` the obvious way, for tests and for differentiable use on few rows."""
    logps = torch.log_softmax(head_logits(hidden, head) / temperature, dim=-1)
    return logps.gather(1, targets[:, None]).squeeze(1)


def plain_soft_nll(
    hidden: Float[Tensor, "rows width"],
    head: Head,
    targets: SoftTargets,
    weights: Float[Tensor, "rows"],
    temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """The loss of `soft_nll` the obvious way, for tests."""
    logps = torch.log_softmax(head_logits(hidden, head) / temperature, dim=-1)
    return -(weights * targets.mean(logps)).sum()


@dataclass(frozen=True)
class HeadPass:
    """What one pass over the labelled rows gives; `grad_*` are of sum(weights * -logps).

    Of `SoftTargets`, `logps` are the mean log-probs of their words: minus the cross-entropies.
    """

    logps: Float[Tensor, "rows"]
    entropy: Float[Tensor, "rows"] | None
    grad_hidden: Float[Tensor, "rows width"] | None
    grad_weight: Float[Tensor, "vocab width"] | None


def head_pass(
    hidden: Float[Tensor, "rows width"],
    head: Head,
    targets: Int[Tensor, "rows"] | SoftTargets,
    weights: Float[Tensor, "rows"] | None = None,
    *,
    temperature: float = 1.0,
    entropy: bool = False,
) -> HeadPass:
    """Log-probs (`wide`), and with `weights` the gradient of sum(weights * -logps), in tiles of rows."""
    soft = targets if isinstance(targets, SoftTargets) else certain(targets)
    rows = hidden.shape[0]
    logps = hidden.new_empty(rows, dtype=wide(hidden.dtype))
    entropies = torch.empty_like(logps) if entropy else None
    grad_hidden = None if weights is None else torch.empty_like(hidden)
    trains_head = weights is not None and head.weight.requires_grad
    grad_weight = torch.zeros_like(head.weight, dtype=logps.dtype) if trains_head else None
    for start in range(0, rows, head.tile):
        part = slice(start, start + head.tile)
        logits = head_logits(hidden[part], head)
        scaled = logits if temperature == 1.0 else logits / temperature
        probs = torch.softmax(scaled, dim=-1)
        # the largest logit and its probability give the log-sum-exp without another pass of exponentials
        lse = scaled.amax(dim=-1) - probs.amax(dim=-1).log()
        wanted = soft[part]
        mass = wanted.mass(logps.dtype)
        logps[part] = wanted.mean(scaled) - mass * lse
        if entropies is not None:
            entropies[part] = lse - torch.linalg.vecdot(probs, scaled)
        if weights is None or grad_hidden is None:
            continue
        scale = weights[part].to(logps.dtype) * mass / temperature * head.scale
        grad = wanted.taken_from(probs).mul_(scale[:, None])
        if head.softcap is not None:
            grad.mul_(1 - (logits / head.softcap) ** 2)
        grad = grad.to(hidden.dtype)
        grad_hidden[part] = grad @ head.weight
        if grad_weight is not None:
            grad_weight += (grad.T @ hidden[part]).to(logps.dtype)
    return HeadPass(logps, entropies, grad_hidden, grad_weight)


class _WeightedNll(torch.autograd.Function):
    """sum(weights * -logps), its gradient already known when the forward ends."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        head: Head,
        targets: Tensor | SoftTargets,
        weights: Tensor,
        temperature: float,
    ) -> tuple[Tensor, Tensor]:
        done = head_pass(hidden, head, targets, weights, temperature=temperature)
        ctx.save_for_backward(done.grad_hidden, done.grad_weight)
        ctx.mark_non_differentiable(done.logps)
        return -(weights.to(done.logps.dtype) * done.logps).sum(), done.logps

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        upstream = grads[0]
        grad_hidden, grad_weight = ctx.saved_tensors
        if grad_weight is not None:
            grad_weight = (grad_weight * upstream).to(grad_hidden.dtype)
        return grad_hidden * upstream.to(grad_hidden.dtype), grad_weight, None, None, None, None


def weighted_nll(
    hidden: Float[Tensor, "rows width"],
    head: Head,
    targets: Int[Tensor, "rows"],
    weights: Float[Tensor, "rows"],
    temperature: float = 1.0,
) -> tuple[Float[Tensor, ""], Float[Tensor, "rows"]]:
    """sum(weights * -logps) with its gradient, and the log-probs themselves (detached).

    With weights 1/N it is the cross-entropy of instruction tuning; with advantage/N it is the policy gradient
    of samples that are on-policy. The bias of a head, where there is one, is not trained.
    """
    loss, logps = _WeightedNll.apply(  # type: ignore[no-untyped-call]
        hidden, head.weight, head, targets, weights, temperature
    )
    return loss, logps


def soft_nll(
    hidden: Float[Tensor, "rows width"],
    head: Head,
    targets: SoftTargets,
    weights: Float[Tensor, "rows"],
    temperature: float = 1.0,
) -> tuple[Float[Tensor, ""], Float[Tensor, "rows"]]:
    """sum(weights * cross-entropy to `targets`) with its gradient, and each row's cross-entropy (detached).

    With a teacher's probabilities it is distillation: the KL to the model plus the teacher's own entropy.
    """
    loss, logps = _WeightedNll.apply(  # type: ignore[no-untyped-call]
        hidden, head.weight, head, targets, weights, temperature
    )
    return loss, -logps


class _TokenLogps(torch.autograd.Function):
    """Log-probs whose gradient upstream is known only in the backward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, head: Head, targets: Tensor) -> Tensor:
        ctx.head, ctx.frozen = head, not weight.requires_grad
        # a row's log-prob depends on that row alone, so the gradient of their sum has each row's own in it
        each = -torch.ones_like(targets, dtype=wide(hidden.dtype)) if ctx.frozen else None
        done = head_pass(hidden, head, targets, each)
        ctx.save_for_backward(*((done.grad_hidden,) if ctx.frozen else (hidden, weight, targets)))
        return done.logps

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (upstream,) = grads
        if ctx.frozen:
            (each,) = ctx.saved_tensors
            return (each * upstream[:, None]).to(each.dtype), None, None, None
        hidden, weight, targets = ctx.saved_tensors
        done = head_pass(hidden, replace(ctx.head, weight=weight), targets, -upstream)
        assert done.grad_weight is not None
        return done.grad_hidden, done.grad_weight.to(weight.dtype), None, None


def token_logps(
    hidden: Float[Tensor, "rows width"], head: Head, targets: Int[Tensor, "rows"]
) -> Float[Tensor, "rows"]:
    """Log-probs of `targets`, differentiable, for losses that are not a sum of them (preferences).

    A frozen head costs two products a tile and keeps one [rows, width] tensor for the backward pass; a head
    that trains costs four, its logits being computed again. The bias of a head is not trained.
    """
    if not torch.is_grad_enabled() or not (hidden.requires_grad or head.weight.requires_grad):
        return head_pass(hidden, head, targets).logps
    logps: Tensor = _TokenLogps.apply(hidden, head.weight, head, targets)  # type: ignore[no-untyped-call]
    return logps


def labelled(
    hidden: Float[Tensor, "batch seq width"],
    input_ids: Int[Tensor, "batch seq"],
    response_mask: Bool[Tensor, "batch seq"],
) -> tuple[Float[Tensor, "rows width"], Int[Tensor, "rows"]]:
    """The hidden states that predict trained tokens, and those tokens; the head sees nothing else."""
    mask = response_mask[:, 1:]
    return hidden[:, :-1][mask], input_ids[:, 1:][mask]
