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

from gnomon.kernels.packed import Product

PART = 8192
"""Words looked at together: of 128 rows their logits take 4 MiB, which a processor's cache holds."""

SHARE = 128
"""A tile of float32 logits may take this part of a machine's memory: the more rows it has, the fewer times
the head's weights are read. At 262,144 words tiles of 24, 96 and 384 MiB took 2.0, 1.2 and 1.0 seconds of one
core for 256 rows, 640 wide; at 32,768 words they are within an eighth of one another."""

SMALLEST, LARGEST = 24 << 20, 384 << 20
"""Bytes of a tile, however little or much memory there is."""


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
    product: Product | None = None
    """Multiplies with the weight, faster than is written here."""

    def products(self, hidden: Float[Tensor, "rows width"]) -> Float[Tensor, "rows vocab"]:
        """h @ weight.T, in the dtype of both."""
        return hidden @ self.weight.T if self.product is None else self.product(hidden)

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
    likeliest come (each once a row), or of the whole vocabulary where `ids` is None. A row of which only part
    is known, and sums to less than 1, weighs less by as much."""

    probs: Float[Tensor, "rows words"]
    ids: Int[Tensor, "rows words"] | None = None

    def __getitem__(self, part: slice) -> "SoftTargets":
        return SoftTargets(self.probs[part], None if self.ids is None else self.ids[part])

    def mean(self, values: Float[Tensor, "rows vocab"]) -> Float[Tensor, "rows"]:
        """The sum over words of their values, each times its probability."""
        own = values if self.ids is None else values.gather(1, self.ids)
        mean: Tensor = torch.linalg.vecdot(self.probs.to(own.dtype), own)
        return mean


def certain(targets: Int[Tensor, "rows"]) -> SoftTargets:
    """One word a row, with probability 1."""
    return SoftTargets(torch.ones_like(targets, dtype=torch.float32)[:, None], targets[:, None])


def head_logits(hidden: Float[Tensor, "rows width"], head: Head) -> Float[Tensor, "rows vocab"]:
    """The plain head, float32 (float64 for a float64 model): the reference for what is fused below."""
    return finished(head.products(hidden), slice(None), head)


def finished(products: Float[Tensor, "rows words"], words: slice | Tensor, head: Head) -> Tensor:
    """Logits (`wide`) of some of the vocabulary's words from the products of their weights, in whose dtype
    those are; `words` are a slice of the vocabulary, or ids [rows, words]."""
    logits = products.to(wide(products.dtype))
    if head.bias is not None:
        logits = logits + head.bias[words].to(logits.dtype)
    if head.scale != 1.0:
        logits = logits * head.scale
    return logits if head.softcap is None else head.softcap * torch.tanh(logits / head.softcap)


def parts(vocab: int) -> list[slice]:
    """The vocabulary in slices of `PART` words."""
    return [slice(start, min(start + PART, vocab)) for start in range(0, vocab, PART)]


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
        tile = _Tile(head.products(hidden[part]), head, soft[part], temperature)
        logps[part] = tile.logps()
        if entropies is not None:
            entropies[part] = tile.entropy()
        if weights is None or grad_hidden is None:
            continue
        grad = tile.into_gradient(weights[part, None].to(logps.dtype))
        grad_hidden[part] = grad @ head.weight
        if grad_weight is not None:
            grad_weight += (grad.T @ hidden[part]).to(logps.dtype)
    return HeadPass(logps, entropies, grad_hidden, grad_weight)


class _Tile:
    """Some rows against the whole vocabulary: `products` are all that is held of it, what is made of them
    is made of a part of the words at a time, while it is in the processor's cache."""

    def __init__(self, products: Tensor, head: Head, targets: SoftTargets, temperature: float) -> None:
        self.products, self.head, self.targets, self.temperature = products, head, targets, temperature
        each = [self._logits(words).div_(temperature).logsumexp(dim=-1) for words in self._parts()]
        self.lse = torch.stack(each, dim=-1).logsumexp(dim=-1, keepdim=True)
        self.probs = targets.probs.to(self.lse.dtype)
        self.mass = self.probs.sum(dim=-1, keepdim=True)

    def logps(self) -> Tensor:
        """Mean log-probs of the targets."""
        if self.targets.ids is not None:
            scaled = self._own(self.targets.ids) / self.temperature
            own: Tensor = torch.linalg.vecdot(self.probs, scaled - self.lse)
            return own
        mean = torch.zeros_like(self.lse[:, 0])
        for words in self._parts():
            scaled = self._logits(words).div_(self.temperature)
            mean += torch.linalg.vecdot(self.probs[:, words], scaled - self.lse)
        return mean

    def entropy(self) -> Tensor:
        """Of each row's distribution, in nats."""
        mean = torch.zeros_like(self.lse[:, 0])
        for words in self._parts():
            scaled = self._logits(words).div_(self.temperature)
            mean += torch.linalg.vecdot(torch.exp(scaled - self.lse), scaled)
        return self.lse.squeeze(1) - mean

    def into_gradient(self, weights: Tensor) -> Tensor:
        """The gradient of sum(weights * -logps) by the products, in their place."""
        weights = weights * (self.head.scale / self.temperature)
        ids = self.targets.ids
        own = None if ids is None else self._slopes(self._own(ids), self.probs, weights)
        for words in self._parts():
            wanted = self.probs[:, words] if ids is None else None
            self.products[:, words] = self._slopes(self._logits(words), wanted, weights)
        if ids is not None and own is not None:  # of what is near 1 little is left, so not from rounded ones
            self.products.scatter_(1, ids, own.to(self.products.dtype))
        return self.products

    def _slopes(self, logits: Tensor, wanted: Tensor | None, weights: Tensor) -> Tensor:
        """The gradient by these words' products, without what is `wanted` of them where that is nothing."""
        capped = None if self.head.softcap is None else 1 - (logits / self.head.softcap) ** 2
        slopes = logits.div_(self.temperature).sub_(self.lse).exp_().mul_(self.mass)
        if wanted is not None:
            slopes.sub_(wanted)
        slopes.mul_(weights)
        return slopes if capped is None else slopes.mul_(capped)

    def _logits(self, words: slice) -> Tensor:
        """In a tensor of their own."""
        products = self.products[:, words]
        logits = finished(products, words, self.head)
        return logits.clone() if logits.dtype == products.dtype else logits

    def _own(self, ids: Tensor) -> Tensor:
        return finished(self.products.gather(1, ids), ids, self.head)

    def _parts(self) -> list[slice]:
        return parts(self.products.shape[1])


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
