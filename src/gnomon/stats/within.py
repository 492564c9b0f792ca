"""What length explains of a score among answers to one prompt."""

from gnomon.errors import DataError
from gnomon.stats.units import Floats


def slope_within(scores: Floats, lengths: Floats) -> float:
    """The slope of score on length, [groups, answers] each, both about the mean of their group; 0 where
    no group has answers of two lengths.

    Prompts that want long answers may be those that are answered well: between groups length is no bias.
    DataError where the shapes differ.
    """
    if scores.shape != lengths.shape or scores.ndim != 2:
        raise DataError(f"slope: scores of shape {scores.shape} and lengths of {lengths.shape}")
    off = lengths - lengths.mean(axis=1, keepdims=True)
    spread = float((off**2).sum())
    return float((off * scores).sum()) / spread if spread else 0.0
