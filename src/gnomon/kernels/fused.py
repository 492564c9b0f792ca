"""The fused language-model head: log-probs, loss and gradient of labelled rows, tile by tile.

Logits of a vocabulary of 262,144 words are the largest tensor of a training step and mostly of no use: here
they live for one tile of rows at a time. Where the loss is a weighted sum of log-probs the gradient is
computed in the forward pass, the weights being known: a tile costs two products, logits and gradient. Where
it is another function of log-probs (pairs), the forward pass of a frozen head keeps each row's own gradient.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnomon.kernels.head import Head, SoftTargets, certain, finished, parts, wide


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
        products = head.products(hidden[part])
        tile = _Tile(products, head, soft[part], temperature, slopes=weights is not None, entropy=entropy)
        logps[part] = tile.logps()
        if entropies is not None and tile.entropy is not None:
            entropies[part] = tile.entropy
        if weights is not None and grad_hidden is not None:
            grad_hidden[part] = tile.gradients(hidden[part], weights[part, None].to(logps.dtype), grad_weight)
    return HeadPass(logps, entropies, grad_hidden, grad_weight)


class _Tile:
    """Some rows against the whole vocabulary: `products` are all that is held of it, what is made of them
    is made of a part of the words at a time, while it is in the processor's cache.

    With `slopes`, each word's product gives way to its exponential, which is the gradient by it but for a
    factor a row: one pass tells what the rows' log-probs are and what is passed back.
    """

    def __init__(
        self,
        products: Tensor,
        head: Head,
        targets: SoftTargets,
        temperature: float,
        *,
        slopes: bool = False,
        entropy: bool = False,
    ) -> None:
        self.products, self.head, self.targets, self.temperature = products, head, targets, temperature
        self.probs = targets.probs.to(wide(products.dtype))
        self.mass = self.probs.sum(dim=-1, keepdim=True)
        self.own = (
            None if targets.ids is None else self._finished(products.gather(1, targets.ids), targets.ids)
        )
        self.top = self._top()
        self.total = torch.zeros_like(self.top)
        mean = torch.zeros_like(self.top)
        for words in self._parts():
            logits = self._logits(words)
            capped = self._capped(logits) if slopes else None
            each = (logits - self.top if entropy else logits.sub_(self.top)).exp_()
            self.total += each.sum(dim=-1, keepdim=True)
            if entropy:
                mean += torch.linalg.vecdot(each, logits)[:, None]
            if slopes and self.own is not None:
                products[:, words] = each if capped is None else each.mul_(capped)
        self.lse = self.top + self.total.log()
        self.entropy = (self.lse - mean / self.total).squeeze(1) if entropy else None
        """Of each row's distribution, in nats."""

    def logps(self) -> Tensor:
        """Mean log-probs of the targets."""
        if self.own is not None:
            own: Tensor = torch.linalg.vecdot(self.probs, self.own - self.lse)
            return own
        mean = torch.zeros_like(self.lse[:, 0])
        for words in self._parts():
            mean += torch.linalg.vecdot(self.probs[:, words], self._logits(words) - self.lse)
        return mean

    def gradients(self, hidden: Tensor, weights: Tensor, grad_weight: Tensor | None) -> Tensor:
        """The gradient of sum(weights * -logps) by the hidden states, that by the head's weights added to
        `grad_weight`; the products are used up."""
        weights = weights * (self.head.scale / self.temperature)
        ids, factor = self.targets.ids, weights * self.mass / self.total
        if ids is None or self.own is None:
            return self._of_all_words(hidden, weights, grad_weight)
        # of what is near 1 little is left, so not from rounded ones
        slopes = ((self.own - self.lse).exp() * self.mass - self.probs) * weights
        capped = self._capped(self.own)
        slopes = slopes if capped is None else slopes * capped
        self.products[torch.arange(len(ids), device=ids.device)[:, None], ids] = 0
        if grad_weight is not None:
            grad_weight += self.products.T @ (hidden * factor).to(hidden.dtype)
            grad_weight.index_add_(0, ids.flatten(), (slopes[:, :, None] * hidden[:, None]).flatten(0, 1))
        grad = (self.products @ self.head.weight).to(slopes.dtype).mul_(factor)
        return grad.add_((slopes[:, None] @ self.head.weight[ids].to(slopes.dtype)).squeeze(1))

    def _of_all_words(self, hidden: Tensor, weights: Tensor, grad_weight: Tensor | None) -> Tensor:
        """The same where any word may be wanted: the gradient by each is the difference of two numbers."""
        for words in self._parts():
            logits = self._logits(words)
            capped = self._capped(logits)
            slopes = logits.sub_(self.lse).exp_().mul_(self.mass).sub_(self.probs[:, words]).mul_(weights)
            self.products[:, words] = slopes if capped is None else slopes.mul_(capped)
        if grad_weight is not None:
            grad_weight += self.products.T @ hidden
        return self.products @ self.head.weight

    def _top(self) -> Tensor:
        """Each row's highest logit [rows, 1]."""
        if self.head.bias is None:
            highest = self.products.amax(dim=1, keepdim=True)
            return self._finished(highest, slice(None))
        return torch.stack([self._logits(words).amax(dim=1, keepdim=True) for words in self._parts()]).amax(0)

    def _capped(self, logits: Tensor) -> Tensor | None:
        """What a soft cap leaves of the gradient, by what it made of the logits."""
        cap = self.head.softcap
        return None if cap is None else 1 - (logits * (self.temperature / cap)) ** 2

    def _logits(self, words: slice) -> Tensor:
        """Of some words, over the temperature; in a tensor of their own."""
        products = self.products[:, words]
        logits = self._finished(products, words)
        return logits.clone() if logits.data_ptr() == products.data_ptr() else logits

    def _finished(self, products: Tensor, words: slice | Tensor) -> Tensor:
        logits = finished(products, words, self.head)
        return logits if self.temperature == 1 else logits / self.temperature

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
