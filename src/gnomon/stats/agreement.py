"""Whether two judges order alike what answers the same prompt."""

from collections.abc import Sequence

import numpy as np


def agreement_within(first: Sequence[float], second: Sequence[float], samples: int) -> float | None:
    """Pearson's correlation of two scores, each about the mean of its prompt's `samples` neighbours.

    Prompts differ in how well they can be answered, and any two scores agree on that; an optimised policy
    follows only what is left. None where one of the two tells no sample of any prompt from another.
    """
    one, other = (np.reshape(np.asarray(x, dtype=float), (-1, samples)) for x in (first, second))
    one, other = (x - x.mean(axis=1, keepdims=True) for x in (one, other))
    spread = float((one**2).sum() * (other**2).sum())
    return float((one * other).sum()) / spread**0.5 if spread > 0 else None
