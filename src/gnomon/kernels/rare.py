"""Words that hardly pull, taken as one: after any text most of a large vocabulary is next to impossible.

The gradient of a log-prob by a hidden state is a sum over words, each one's weights times its probability: as
large a product as the logits are. Words that together are below what rounding moves could be left out of it,
as arXiv:2411.09009 does; but they are the same ones in most rows, and what is missing points the same way in
all of them. Here they stay in as one word that has their mean for its weights: what rows add up to is as it
was, and a row misses only how its own rare words differ from everyone's.
"""

import torch
from jaxtyping import Float
from torch import Tensor

WORTH = 0.5
"""Fewer than this part of some words taken together are not worth picking the others."""

PICKS = 8
"""As many different numbers of words may be left of a part: for every shape of a product oneDNN makes code,
in several milliseconds, and any number would be a shape of its own."""


class RareWords:
    """Picks the likely words of one part of the vocabulary after another, for rows looked at together.

    Of a row's pull, its targets' apart, the words taken together are on average over rows no more than the
    unit roundoff of `dtype`: 1/256 for bfloat16. `sums` are what each row's pulls add up to: nothing as yet.
    """

    def __init__(self, dtype: torch.dtype, vocab: int, sums: Float[Tensor, "rows 1"]) -> None:
        self._each = torch.finfo(dtype).eps / 2 / vocab
        self._spare = 0.0
        self._sums = sums

    def likely(
        self,
        pulls: Float[Tensor, "rows words"],
        weight: Float[Tensor, "words width"],
        shrunk: Float[Tensor, "rows 1"],
    ) -> tuple[Float[Tensor, "rows likely"], Float[Tensor, "likely width"]]:
        """`pulls` and `weight` of fewer words, whose product is the same but for rounding; `shrunk` is what
        has become of a pull of the parts before."""
        tiny, own = torch.finfo(pulls.dtype).tiny, pulls.sum(dim=1, keepdim=True)
        self._sums.mul_(shrunk).add_(own)
        shares = (1 / (len(pulls) * self._sums.clamp_min(tiny))).T @ pulls
        rising, words = shares[0].sort()
        added = rising.cumsum(0)
        self._spare += self._each * len(words)
        rare = int((added <= self._spare).sum())
        rare -= (rare - 1) % max(1, len(words) // PICKS) if rare else 0
        if rare < max(1, WORTH * len(words)):
            return pulls, weight
        self._spare -= float(added[rare - 1])
        # the most likely of the rare words stands for all of them
        words = words[rare - 1 :]
        # `index_select` takes columns with one thread
        few, weights = pulls.gather(1, words.expand(len(pulls), -1)), weight.index_select(0, words)
        few[:, 0] = own.squeeze(1) - few[:, 1:].sum(dim=1)
        shares[:, words[1:]] = 0
        weights[:1] = (shares / shares.sum().clamp_min(tiny)).to(weight.dtype) @ weight
        return few, weights
