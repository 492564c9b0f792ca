"""Exact sampling from a large vocabulary with one uniform number a row: no sort, no noise tensor.

Inverse transform in two levels: the probabilities are summed in blocks, the block that holds the target mass
is found first, then the token inside it.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnomon.kernels.head import wide

BLOCK = 512

NUCLEUS = 1024
"""Tokens among which a nucleus is looked for before the vocabulary is sorted."""


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
    logits = logits.to(wide(logits.dtype))
    if temperature == 0.0:
        return greedy_tokens(logits)
    scaled = filtered(logits if temperature == 1.0 else logits / temperature, top_k, top_p)
    probs = torch.softmax(scaled, dim=-1)
    rows, vocab = probs.shape
    padded = torch.nn.functional.pad(probs, (0, -vocab % BLOCK)).view(rows, -1, BLOCK)
    blocks = padded.sum(dim=-1).double().cumsum(dim=-1)
    mass = uniform.double() * blocks[:, -1]
    block = torch.searchsorted(blocks, mass[:, None], right=True).clamp(max=blocks.shape[1] - 1)
    before = torch.where(block > 0, blocks.gather(1, (block - 1).clamp(min=0)), 0.0)
    inside = padded[torch.arange(rows, device=probs.device), block.squeeze(1)].double().cumsum(dim=-1)
    offset = torch.searchsorted(inside, mass[:, None] - before, right=True).clamp(max=BLOCK - 1)
    token = (block * BLOCK + offset).squeeze(1).clamp(max=vocab - 1)
    chosen = probs.gather(1, token[:, None]).squeeze(1)
    # rounding may land on a token of no mass at a block's edge: the most likely token stands in
    token = torch.where(chosen > 0, token, probs.argmax(dim=-1)) if bool((chosen == 0).any()) else token
    lse = scaled.amax(dim=-1) - probs.amax(dim=-1).log()
    return token, scaled.gather(1, token[:, None]).squeeze(1) - lse


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


def greedy_tokens(logits: Float[Tensor, "rows vocab"]) -> tuple[Int[Tensor, "rows"], Float[Tensor, "rows"]]:
    """The most likely tokens and their log-probs."""
    best, token = logits.max(dim=-1)
    return token, best - torch.logsumexp(logits, dim=-1)
