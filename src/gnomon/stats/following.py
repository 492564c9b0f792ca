"""How a second score follows the one that is optimised, among the answers to one prompt."""

from typing import NamedTuple

import numpy as np

from gnomon.errors import DataError
from gnomon.stats.units import Floats


class Following(NamedTuple):
    """Of each prompt, [prompts] each: Pearson's correlation of the two scores over its samples, NaN where one
    of them tells no two samples apart; and its part of the slope of the second on the first, whose mean over
    prompts is the slope within prompts, in the second's unit for one of the first's."""

    agreement: Floats
    slope: Floats


def following(proxy: Floats, second: Floats) -> Following:
    """What samples tell, [prompts, samples] each.

    A prompt's part of the slope is its covariance over the mean variance of the proxy's scores; 0 where that
    tells no sample of any prompt from another. DataError where the shapes differ.
    """
    if proxy.shape != second.shape or proxy.ndim != 2:
        raise DataError(
            f"following: scores of shape {proxy.shape} and {second.shape}; [prompts, samples] both"
        )
    one, other = (values - values.mean(axis=1, keepdims=True) for values in (proxy, second))
    together, own, others = (
        np.asarray((a * b).mean(axis=1)) for a, b in ((one, other), (one, one), (other, other))
    )
    told = (own > _rounding(proxy)) & (others > _rounding(second))
    scale = np.sqrt(np.where(told, own * others, 1.0))
    agreement = np.where(told, together / scale, np.nan)
    spread = float(own.mean())
    return Following(agreement, together / spread if spread > 0 else np.zeros_like(together))


def _rounding(scores: Floats) -> float:
    """A variance that rounding alone may leave."""
    return 1e-14 * float((scores**2).mean())
