"""Exact sampling from a large vocabulary with one uniform number a row: no sort, no noise tensor.

Inverse transform in two levels: the probabilities are summed in blocks, the block that holds the target mass
is found first, then the token inside it. Of a vocabulary of 262,144 words a part is looked at while it is in
the processor's cache; only the products of the head's weights are written to memory.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnomon.kernels.head import Head, finished, head_logits, parts, wide

BLOCK = 512
"""Words whose probabilities are summed together; a part of the vocabulary holds a whole number of blocks."""

NUCLEUS = 1024
"""Tokens among which a nucleus is looked for before the vocabulary is sorted."""

Finish = Callable[[Tensor, slice | Tensor], Tensor]
"""Logits (`wide`) from products and the words they are of: a slice of the vocabulary, or ids [rows, n]."""


def sample_states(
    hidden: Float[Tensor, "rows width"],
    head: Head,
    uniform: Float[Tensor, "rows"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> tuple[Int[Tensor, "rows"], Float[Tensor, "rows"]]:
    """What `sample_tokens` gives for the head's logits, which without filters are never held as a whole."""
    if temperature > 0 and (top_k is not None or top_p is not None):
        return sample_tokens(head_logits(hidden, head), uniform, temperature, top_k, top_p)
    near = head.near(hidden)
    return _sampled(
        head.products(hidden, near), partial(finished, head=head, near=near), uniform, temperature
    )


def sample_tokens(
    logits: Float[Tensor, "rows vocab"],
    uniform: Float[Tensor, "rows"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> tuple[Int[Tensor, "rows"], Float[Tensor, "rows"]]:
    """Tokens and their log-probs (float32; float64 for float64 logits) under softmax(logits / temperature).

    With `top_k` or `top_p` that is the distribution of the tokens `filtered` keeps. `uniform` holds numbers
    in [0, 1): the same number gives the same token whatever the other rows are. Temperature 0 is greedy,
    whatever the filters; its log-probs are of the untempered, unfiltered distribution.
    """
    if temperature > 0 and (top_k is not None or top_p is not None):
        logits = filtered(logits.to(wide(logits.dtype)) / temperature, top_k, top_p)
        temperature = 1.0
    return _sampled(logits, lambda part, words: part.to(wide(part.dtype)), uniform, temperature)


def _sampled(
    products: Float[Tensor, "rows vocab"], finish: Finish, uniform: Float[Tensor, "rows"], temperature: float
) -> tuple[Int[Tensor, "rows"], Float[Tensor, "rows"]]:
    if temperature == 0.0:
        return _likeliest(products, finish)
    scaled = partial(_scaled, finish=finish, temperature=temperature)
    sums, tops = [], []
    for words in parts(products.shape[1]):
        part = scaled(products[:, words], words)
        tops.append(_top(part))
        sums.append(_block_sums(part.sub_(tops[-1]).exp_()))
    top = torch.cat(tops, dim=-1).amax(dim=-1, keepdim=True)
    mass = [part.double() * (own - top).double().exp() for part, own in zip(sums, tops, strict=True)]
    blocks = torch.cat(mass, dim=-1).cumsum(dim=-1)
    block, rest = _find(blocks, uniform.double()[:, None] * blocks[:, -1:])
    # past the vocabulary's end its last word is repeated, which an edge may then stand for
    ids = (block * BLOCK + torch.arange(BLOCK, device=block.device)).clamp(max=products.shape[1] - 1)
    logits = scaled(products.gather(1, ids), ids)
    place, _ = _find((logits - top).double().exp().cumsum(dim=-1), rest)
    logps = (logits.gather(1, place) - top).double() - blocks[:, -1:].log()
    return ids.gather(1, place).squeeze(1), logps.squeeze(1).to(logits.dtype)


def _likeliest(
    products: Float[Tensor, "rows vocab"], finish: Finish
) -> tuple[Int[Tensor, "rows"], Float[Tensor, "rows"]]:
    """The first of the most likely tokens, and its log-prob."""
    values, tokens, lse = [], [], []
    for words in parts(products.shape[1]):
        part = finish(products[:, words], words)
        best = part.max(dim=-1)
        values.append(best.values)
        tokens.append(best.indices + words.start)
        lse.append(part.logsumexp(dim=-1))
    value, which = torch.stack(values, dim=-1).max(dim=-1, keepdim=True)
    logp = value.squeeze(1) - torch.stack(lse, dim=-1).logsumexp(dim=-1)
    return torch.stack(tokens, dim=-1).gather(1, which).squeeze(1), logp


def _scaled(products: Tensor, words: slice | Tensor, finish: Finish, temperature: float) -> Tensor:
    """Logits over temperature, in a tensor of their own."""
    logits = finish(products, words)
    if temperature != 1:
        return logits / temperature
    return logits.clone() if logits.data_ptr() == products.data_ptr() else logits


def _top(logits: Float[Tensor, "rows words"]) -> Float[Tensor, "rows 1"]:
    """The largest, finite where all are ruled out, so that differences from it are no NaN."""
    return logits.amax(dim=-1, keepdim=True).clamp(min=torch.finfo(logits.dtype).min)


def _block_sums(mass: Float[Tensor, "rows words"]) -> Float[Tensor, "rows blocks"]:
    if mass.shape[1] % BLOCK:
        mass = torch.nn.functional.pad(mass, (0, -mass.shape[1] % BLOCK))
    return mass.view(len(mass), -1, BLOCK).sum(dim=-1)


def _find(
    cumulative: Float[Tensor, "rows n"], target: Float[Tensor, "rows 1"]
) -> tuple[Int[Tensor, "rows 1"], Float[Tensor, "rows 1"]]:
    """The place of each row whose mass the target falls in, and what is left of the target there.

    A target that rounding took to the end falls in the last place with any mass.
    """
    last = torch.searchsorted(cumulative, cumulative[:, -1:].contiguous())
    place = torch.searchsorted(cumulative, target, right=True).minimum(last)
    before = torch.where(place > 0, cumulative.gather(1, (place - 1).clamp(min=0)), 0.0)
    return place, target - before


def filtered(
    logits: Float[Tensor, "rows vocab"], top_k: int | None = None, top_p: float | None = None
) -> Float[Tensor, "rows vocab"]:
    """Logits with all tokens ruled out but the likeliest `top_k`, and of those all but the nucleus.

    The nucleus (arXiv:1904.09751) is the fewest likeliest tokens whose probability is `top_p` or more. Tokens
    as likely as the last one kept are kept too: which of them stay cannot depend on how they were ordered.
    """
    if top_k is not None and top_k < logits.shape[1]:
        logits = logits.masked_fill(logits < logits.topk(top_k).values[:, -1:], -torch.inf)
    if top_p is not None and top_p < 1:
        logits = logits.masked_fill(logits < _nucleus_edge(logits, top_p), -torch.inf)
    return logits


def _nucleus_edge(logits: Float[Tensor, "rows vocab"], top_p: float) -> Float[Tensor, "rows 1"]:
    """The least logit in the nucleus, found among the likeliest tokens, or by a sort where it is wider."""
    total = logits.logsumexp(dim=-1, keepdim=True)
    best = logits.topk(min(NUCLEUS, logits.shape[1])).values
    edge, mass = _edge(best, total, top_p)
    wider = mass < top_p
    if best.shape[1] < logits.shape[1] and bool(wider.any()):
        edge[wider], _ = _edge(logits[wider].sort(dim=-1, descending=True).values, total[wider], top_p)
    return edge


def _edge(
    ordered: Float[Tensor, "rows some"], total: Float[Tensor, "rows 1"], top_p: float
) -> tuple[Float[Tensor, "rows 1"], Float[Tensor, "rows"]]:
    """The first logit, in falling order, up to which the probability is `top_p`; and that of all of them."""
    mass = (ordered - total).exp().double().cumsum(dim=-1)
    place = (mass < top_p).sum(dim=-1, keepdim=True).clamp(max=ordered.shape[1] - 1)
    return ordered.gather(1, place), mass[:, -1]
