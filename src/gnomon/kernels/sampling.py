"""Exact sampling from a large vocabulary with one uniform number a row: no sort, no noise tensor.

Inverse transform in two levels: the probabilities are summed in blocks, the block that holds the target mass
is found first, then the token inside it.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnomon.kernels.head import wide

BLOCK = 512


def sample_tokens(
    logits: Float[Tensor, "rows vocab"], uniform: Float[Tensor, "rows"], temperature: float = 1.0
) -> tuple[Int[Tensor, "rows"], Float[Tensor, "rows"]]:
    """Tokens and their log-probs (float32; float64 for float64 logits) under softmax(logits / temperature).

    `uniform` holds numbers in [0, 1): the same number gives the same token whatever the other rows are.
    Temperature 0 is greedy; its log-probs are of the untempered distribution.
    """
    logits = logits.to(wide(logits.dtype))
    if temperature == 0.0:
        return greedy_tokens(logits)
    scaled = logits if temperature == 1.0 else logits / temperature
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


def greedy_tokens(logits: Float[Tensor, "rows vocab"]) -> tuple[Int[Tensor, "rows"], Float[Tensor, "rows"]]:
    """The most likely tokens and their log-probs."""
    best, token = logits.max(dim=-1)
    return token, best - torch.logsumexp(logits, dim=-1)
