"""The language-model head as it is written down, what it is asked for, and how much of it is held at a time.

`kernels.fused` computes the same without holding the logits of all rows.
"""

from dataclasses import dataclass
from functools import cache

import psutil
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnomon.kernels.packed import Sum

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
    added: Sum | None = None
    """(h, y) -> y + h @ weight.T, faster than is written here."""

    def products(
        self, hidden: Float[Tensor, "rows width"], near: Float[Tensor, "rows 1"] | None = None
    ) -> Float[Tensor, "rows vocab"]:
        """`less` of the whole vocabulary."""
        return less(hidden, self.weight, near, self.added)

    @torch.no_grad()
    def near(self, hidden: Float[Tensor, "rows width"]) -> Float[Tensor, "rows 1"] | None:
        """The largest product among the first words, which are the most frequent, where products are narrower
        than their sums."""
        if hidden.dtype == wide(hidden.dtype):
            return None
        return (hidden @ self.weight[:PART].T).amax(dim=-1, keepdim=True)

    @property
    def trains(self) -> bool:
        """Whether its weight or its bias is to get a gradient."""
        return self.weight.requires_grad or (self.bias is not None and self.bias.requires_grad)

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
    near = head.near(hidden)
    return finished(head.products(hidden, near), slice(None), head, near)


def less(
    hidden: Float[Tensor, "rows width"],
    weight: Float[Tensor, "words width"],
    near: Float[Tensor, "rows 1"] | None,
    added: Sum | None = None,
) -> Float[Tensor, "rows words"]:
    """h @ weight.T less `near`, rounded once to the dtype of both; by `added`, where the weight has that.

    A bfloat16 logit of 20 is right to 0.06. Less a number near it, which is added again in a `wide` dtype, it
    is right to a hundredth of that, and so are log-probs: what rounding moves is words far below.
    """
    if near is None:
        return hidden @ weight.T
    below = (-near).expand(-1, len(weight)).contiguous()
    return below.addmm_(hidden, weight.T) if added is None else added(hidden, below)


def finished(
    products: Float[Tensor, "rows words"],
    words: slice | Tensor,
    head: Head,
    near: Float[Tensor, "rows 1"] | None = None,
) -> Float[Tensor, "rows words"]:
    """Logits (`wide`) of some of the vocabulary's words from the products of their weights less `near`, in
    whose dtype those are; `words` are a slice of the vocabulary, or ids [rows, words]."""
    logits = products.to(wide(products.dtype))
    if near is not None:
        logits += near
    if head.bias is not None:
        logits = logits + head.bias[words].to(logits.dtype)
    if head.scale != 1.0:
        logits = logits * head.scale
    return logits if head.softcap is None else head.softcap * torch.tanh(logits / head.softcap)


def parts(vocab: int, words: int | None = None) -> list[slice]:
    """The vocabulary in slices of so many words, by default of `PART`."""
    step = PART if words is None else words
    return [slice(start, min(start + step, vocab)) for start in range(0, vocab, step)]


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
