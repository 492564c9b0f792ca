"""The fused language-model head: log-probs, loss and gradient of labelled rows, some of the words at a time.

Logits of a vocabulary of 262,144 words are the largest tensor of a training step and mostly of no use: here
some rows' logits of some words live while they are in the processor's cache. Where the loss is a weighted sum
of log-probs the gradient is computed in the forward pass, the weights being known: it costs two products,
logits and gradient. Where it is another function of log-probs (pairs), the forward pass of a frozen head
keeps each row's own gradient.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from gnomon.kernels.head import Head, SoftTargets, certain, finished, less, parts, wide
from gnomon.kernels.rare import RareWords

ROWS = 1024
"""Rows read together: the more there are, the fewer times the head's weights are read."""

HELD, HELD_ON_DEVICE = 1 << 21, 1 << 26
"""Logits held at a time: on a processor 8 MiB of them and 4 of their products, which its cache keeps. Half as
many would be 1,024 words of so many rows, a product that oneDNN leaves to one thread of two."""

WHOLE = 256
"""Words in multiples of which a matrix product is fastest."""


@dataclass(frozen=True)
class HeadPass:
    """What one pass over the labelled rows gives; `grad_*` are of sum(weights * -logps).

    Of `SoftTargets`, `logps` are the mean log-probs of their words: minus the cross-entropies.
    """

    logps: Float[Tensor, "rows"]
    entropy: Float[Tensor, "rows"] | None
    grad_hidden: Float[Tensor, "rows width"] | None
    grad_weight: Float[Tensor, "vocab width"] | None
    grad_bias: Float[Tensor, "vocab"] | None


def head_pass(
    hidden: Float[Tensor, "rows width"],
    head: Head,
    targets: Int[Tensor, "rows"] | SoftTargets,
    weights: Float[Tensor, "rows"] | None = None,
    *,
    temperature: float = 1.0,
    entropy: bool = False,
) -> HeadPass:
    """Log-probs (`wide`), and with `weights` the gradient of sum(weights * -logps), in tiles of `ROWS` rows;
    of a head that trains, of as many as `Head.tile` says."""
    soft = targets if isinstance(targets, SoftTargets) else certain(targets)
    rows = hidden.shape[0]
    logps = hidden.new_empty(rows, dtype=wide(hidden.dtype))
    entropies = torch.empty_like(logps) if entropy else None
    grad_hidden = None if weights is None else torch.empty_like(hidden)
    sums = _sums_of(head, logps.dtype) if weights is not None and head.trains else None
    size = ROWS if sums is None else head.tile
    for start in range(0, rows, size):
        part = slice(start, start + size)
        tile = _Tile(hidden[part], head, soft[part], temperature, slopes=weights is not None, entropy=entropy)
        logps[part] = tile.logps()
        if entropies is not None and tile.entropy is not None:
            entropies[part] = tile.entropy
        if weights is not None and grad_hidden is not None:
            grad_hidden[part] = tile.gradients(weights[part, None].to(logps.dtype), sums)
    if sums is None:
        return HeadPass(logps, entropies, grad_hidden, None, None)
    grad_bias = None if sums.bias is None or head.bias is None else sums.bias.to(head.bias.dtype)
    grad_weight = sums.weight.to(head.weight.dtype)
    if grad_weight is not sums.weight:
        _SUMS[head.weight] = sums.weight
    return HeadPass(logps, entropies, grad_hidden, grad_weight, grad_bias)


_SUMS = WeakTensorKeyDictionary()
"""What gradients of each narrow head that trains were added up in, and the next will be."""


def _sum_of(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Zeros to add a head's gradient up in: of one tensor for as long as the head is there, for what is let
    go at every micro-batch, 671 MB at 262,144 words, leaves holes in memory that nothing fits into."""
    if weight.dtype == dtype:
        return torch.zeros_like(weight)
    # taken out: a pass beside this one has its own
    held: Tensor | None = _SUMS.pop(weight, None)  # type: ignore[no-untyped-call]
    return torch.zeros_like(weight, dtype=dtype, requires_grad=False) if held is None else held.zero_()


class _HeadSums(NamedTuple):
    """What the gradients of a head that trains are added up in, that of its bias where it has one."""

    weight: Float[Tensor, "vocab width"]
    bias: Float[Tensor, "vocab"] | None


def _sums_of(head: Head, dtype: torch.dtype) -> _HeadSums:
    bias = None if head.bias is None else torch.zeros_like(head.bias, dtype=dtype, requires_grad=False)
    return _HeadSums(_sum_of(head.weight, dtype), bias)


class _Tile:
    """Some rows against the whole vocabulary, read once, a part of the words at a time.

    Sums over words are of exponentials below the highest logit so far, and shrink when a higher one comes
    (arXiv:1805.02867). With `slopes` the same exponentials are multiplied by the head's weights at once, the
    rare words' together: what this sums to is the gradient by the hidden states, but for a factor a row and
    the targets' own share. All of them are kept where the head trains, for its gradient.
    """

    def __init__(
        self,
        hidden: Tensor,
        head: Head,
        targets: SoftTargets,
        temperature: float,
        *,
        slopes: bool = False,
        entropy: bool = False,
    ) -> None:
        dtype = wide(hidden.dtype)
        self.hidden, self.head, self.targets, self.temperature = hidden, head, targets, temperature
        self.probs = targets.probs.to(dtype)
        self.mass = self.probs.sum(dim=-1, keepdim=True)
        self.own = None if targets.ids is None else torch.zeros_like(self.probs)
        self.wanted = torch.zeros_like(self.mass[:, 0])
        self.top = torch.full_like(self.mass, torch.finfo(dtype).min)
        self.total, mean = torch.zeros_like(self.top), torch.zeros_like(self.top)
        self.pull = torch.zeros_like(hidden, dtype=dtype) if slopes and self.own is not None else None
        self.kept: list[tuple[slice, Tensor, Tensor]] = []
        self.rare = None
        if self.pull is not None and dtype != hidden.dtype:
            self.rare = RareWords(hidden.dtype, len(head.weight), torch.zeros_like(self.top))
        self.near = self._near()
        for words, named in self._parts():
            logits = self._logits(words)
            if self.own is None:
                self.wanted += torch.linalg.vecdot(self.probs[:, words], logits)
            else:
                self.own[named.rows, named.columns] = logits[named.rows, named.words]
            capped = self._capped(logits) if self.pull is not None else None
            top = torch.maximum(self.top, logits.amax(dim=1, keepdim=True))
            shrunk = (self.top - top).exp_()
            each = (logits - top if entropy else logits.sub_(top)).exp_()
            self.total.mul_(shrunk).add_(each.sum(dim=-1, keepdim=True))
            if entropy:
                mean.mul_(shrunk).add_(torch.linalg.vecdot(each, logits)[:, None])
            if self.pull is not None:
                each = each if capped is None else each.mul_(capped)
                # of what is near 1 little is left: not from rounded ones, but in `gradients`
                each[named.rows, named.words] = 0
                self._pull(words, each, top, shrunk)
            self.top = top
        self.lse = self.top + self.total.log()
        self.entropy = (self.lse - mean / self.total).squeeze(1) if entropy else None
        """Of each row's distribution, in nats."""

    def logps(self) -> Tensor:
        """Mean log-probs of the targets."""
        if self.own is None:
            return self.wanted - (self.mass * self.lse).squeeze(1)
        own: Tensor = torch.linalg.vecdot(self.probs, self.own - self.lse)
        return own

    def gradients(self, weights: Tensor, sums: _HeadSums | None) -> Tensor:
        """The gradient of sum(weights * -logps) by the hidden states, those by the head's own tensors added
        to `sums`."""
        weights = weights * (self.head.scale / self.temperature)
        ids, factor = self.targets.ids, weights * self.mass / self.total
        if ids is None or self.own is None or self.pull is None:
            return self._of_all_words(weights, sums)
        slopes = ((self.own - self.lse).exp() * self.mass - self.probs) * weights
        capped = self._capped(self.own)
        slopes = slopes if capped is None else slopes * capped
        if sums is not None:
            for words, each, top in self.kept:
                by = factor * (top - self.top).exp()
                sums.weight[words] += each.T @ (self.hidden * by).to(self.hidden.dtype)
                if sums.bias is not None:
                    sums.bias[words] += (each * by).sum(dim=0)
            own = (slopes[:, :, None] * self.hidden[:, None]).flatten(0, 1)
            sums.weight.index_add_(0, ids.flatten(), own)
            if sums.bias is not None:
                sums.bias.index_add_(0, ids.flatten(), slopes.flatten())
        grad = self.pull.mul_(factor)
        return grad.add_((slopes[:, None] @ self.head.weight[ids].to(slopes.dtype)).squeeze(1))

    def _of_all_words(self, weights: Tensor, sums: _HeadSums | None) -> Tensor:
        """The same where any word may be wanted: the gradient by each is the difference of two numbers, of
        which one is known only now."""
        grad = torch.zeros_like(self.hidden, dtype=weights.dtype)
        for words, _ in self._parts():
            logits = self._logits(words)
            capped = self._capped(logits)
            slopes = logits.sub_(self.lse).exp_().mul_(self.mass).sub_(self.probs[:, words]).mul_(weights)
            slopes = slopes if capped is None else slopes.mul_(capped)
            each = slopes.to(self.hidden.dtype)
            grad += each @ self.head.weight[words]
            if sums is not None:
                sums.weight[words] += each.T @ self.hidden
                if sums.bias is not None:
                    sums.bias[words] += slopes.sum(dim=0)
        return grad

    def _pull(self, words: slice, each: Tensor, top: Tensor, shrunk: Tensor) -> None:
        """Add what these words' exponentials below `top` pull the hidden states by."""
        assert self.pull is not None
        dtype, weight = self.hidden.dtype, self.head.weight[words]
        if self.head.trains:
            self.kept.append((words, each.to(dtype), top))
        if self.rare is not None:
            each, weight = self.rare.likely(each, weight, shrunk)
        self.pull.mul_(shrunk).add_(each.to(dtype) @ weight)

    def _capped(self, logits: Tensor) -> Tensor | None:
        """What a soft cap leaves of the gradient, by what it made of the logits."""
        cap = self.head.softcap
        return None if cap is None else 1 - (logits * (self.temperature / cap)) ** 2

    def _logits(self, words: slice) -> Tensor:
        """Of some words, over the temperature; in a tensor of their own. Unless they are capped, all of a row
        are less what is near its target's: a log-prob is a distance between two of them."""
        products = less(self.hidden, self.head.weight[words], self.near)
        logits = finished(products, words, self.head, None if self.head.softcap is None else self.near)
        return logits if self.temperature == 1 else logits / self.temperature

    def _near(self) -> Tensor | None:
        """The product of each row's first target, where products are narrower than their sums."""
        ids, hidden = self.targets.ids, self.hidden
        if ids is None or hidden.dtype == self.top.dtype:
            return None
        rows = self.head.weight.detach()[ids[:, 0]].to(self.top.dtype)
        near: Tensor = torch.linalg.vecdot(hidden.to(self.top.dtype), rows)[:, None].to(hidden.dtype)
        return near

    def _parts(self) -> Iterator[tuple[slice, "_Named"]]:
        """The vocabulary in parts, and which targets are words of each."""
        most = HELD if self.hidden.device.type == "cpu" else HELD_ON_DEVICE
        fit = max(1, most // len(self.hidden))
        slices = parts(len(self.head.weight), fit if fit < WHOLE else fit - fit % WHOLE)
        ids = self.targets.ids
        if ids is None:
            nowhere = self.hidden.new_empty(0, dtype=torch.long)
            yield from ((part, _Named(nowhere, nowhere, nowhere)) for part in slices)
            return
        words, order = ids.flatten().sort()
        rows, columns = order // ids.shape[1], order % ids.shape[1]
        ends = torch.searchsorted(words, words.new_tensor([part.stop for part in slices])).tolist()
        for part, start, end in zip(slices, [0, *ends], ends, strict=False):
            yield part, _Named(rows[start:end], columns[start:end], words[start:end] - part.start)


class _Named(NamedTuple):
    """Targets that are words of a part: their rows and columns in the targets, their places in the part."""

    rows: Int[Tensor, "named"]
    columns: Int[Tensor, "named"]
    words: Int[Tensor, "named"]


class _Asked(NamedTuple):
    """What a head is asked of its rows: what should follow each, what each weighs, at which temperature."""

    targets: Tensor | SoftTargets
    weights: Tensor
    temperature: float


class _WeightedNll(torch.autograd.Function):
    """sum(weights * -logps), its gradient already known when the forward ends."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, head: Head, asked: _Asked
    ) -> tuple[Tensor, Tensor]:
        done = head_pass(hidden, head, asked.targets, asked.weights, temperature=asked.temperature)
        ctx.save_for_backward(done.grad_hidden, done.grad_weight, done.grad_bias)
        ctx.mark_non_differentiable(done.logps)
        return -(asked.weights.to(done.logps.dtype) * done.logps).sum(), done.logps

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        upstream = grads[0]
        own = [None if grad is None else grad * upstream.to(grad.dtype) for grad in ctx.saved_tensors]
        return *own, None, None


def _weighted(hidden: Tensor, head: Head, asked: _Asked) -> tuple[Tensor, Tensor]:
    done: tuple[Tensor, Tensor] = _WeightedNll.apply(  # type: ignore[no-untyped-call]
        hidden, head.weight, head.bias, head, asked
    )
    return done


def weighted_nll(
    hidden: Float[Tensor, "rows width"],
    head: Head,
    targets: Int[Tensor, "rows"],
    weights: Float[Tensor, "rows"],
    temperature: float = 1.0,
) -> tuple[Float[Tensor, ""], Float[Tensor, "rows"]]:
    """sum(weights * -logps) with its gradient, and the log-probs themselves (detached).

    With weights 1/N it is the cross-entropy of instruction tuning; with advantage/N it is the policy gradient
    of samples that are on-policy.
    """
    return _weighted(hidden, head, _Asked(targets, weights, temperature))


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
    loss, logps = _weighted(hidden, head, _Asked(targets, weights, temperature))
    return loss, -logps


class _TokenLogps(torch.autograd.Function):
    """Log-probs whose gradient upstream is known only in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        head: Head,
        targets: Tensor,
        temperature: float,
    ) -> Tensor:
        ctx.head, ctx.frozen, ctx.temperature = head, not head.trains, temperature
        # a row's log-prob depends on that row alone, so the gradient of their sum has each row's own in it
        each = -torch.ones_like(targets, dtype=wide(hidden.dtype)) if ctx.frozen else None
        done = head_pass(hidden, head, targets, each, temperature=temperature)
        ctx.save_for_backward(*((done.grad_hidden,) if ctx.frozen else (hidden, weight, bias, targets)))
        return done.logps

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (upstream,) = grads
        if ctx.frozen:
            (each,) = ctx.saved_tensors
            return (each * upstream[:, None]).to(each.dtype), None, None, None, None, None
        hidden, weight, bias, targets = ctx.saved_tensors
        head = replace(ctx.head, weight=weight, bias=bias)
        done = head_pass(hidden, head, targets, -upstream, temperature=ctx.temperature)
        return done.grad_hidden, done.grad_weight, done.grad_bias, None, None, None


def token_logps(
    hidden: Float[Tensor, "rows width"],
    head: Head,
    targets: Int[Tensor, "rows"],
    temperature: float = 1.0,
) -> Float[Tensor, "rows"]:
    """Log-probs of `targets`, differentiable, for losses that are not a sum of them (preferences, ratios).

    A frozen head costs two products a tile and keeps one [rows, width] tensor for the backward pass; a head
    that trains costs four, its logits being computed again.
    """
    if not torch.is_grad_enabled() or not (hidden.requires_grad or head.trains):
        return head_pass(hidden, head, targets, temperature=temperature).logps
    logps: Tensor = _TokenLogps.apply(  # type: ignore[no-untyped-call]
        hidden, head.weight, head.bias, head, targets, temperature
    )
    return logps
