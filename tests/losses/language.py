"""A language small enough to say everything in it: words 0 (the end), 1 and 2, at most three of them."""

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

WORDS, LONGEST = 3, 3


def _sentences() -> Iterator[tuple[int, ...]]:
    for length in range(1, LONGEST + 1):
        for start in product((1, 2), repeat=length - 1):
            yield from ((*start, word) for word in range(WORDS) if word == 0 or length == LONGEST)


SENTENCES = tuple(_sentences())
"""Everything that can be said: what ends, and what is cut off at three words."""

PREFIXES = tuple(dict.fromkeys(sentence[:t] for sentence in SENTENCES for t in range(len(sentence))))
KEEP = torch.tensor([[t < len(sentence) for t in range(LONGEST)] for sentence in SENTENCES])


def drawn(seed: int) -> Tensor:
    """Logits [prefixes, words] of a policy, each prefix with its own."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(PREFIXES), WORDS, generator=generator, dtype=torch.float64)


def by_prefix(values: Tensor) -> Tensor:
    """What each prefix has [prefixes], at the words of every sentence [sentences, words]; 0 on padding."""
    rows = torch.zeros(len(SENTENCES), LONGEST, dtype=values.dtype)
    for i, sentence in enumerate(SENTENCES):
        for t in range(len(sentence)):
            rows[i, t] = values[PREFIXES.index(sentence[:t])]
    return rows


def logps(logits: Tensor) -> Tensor:
    """Log-probs [sentences, words] of the words of every sentence, differentiable; 0 on padding."""
    each = torch.log_softmax(logits, dim=1)
    rows = []
    for sentence in SENTENCES:
        own = [each[PREFIXES.index(sentence[:t]), word] for t, word in enumerate(sentence)]
        rows.append(torch.stack(own + [each.new_zeros(())] * (LONGEST - len(own))))
    return torch.stack(rows)
