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


def mean_at(scores: Floats, lengths: Floats, length: float) -> float:
    """The mean score the answers, [groups, answers], would have if each were of this length, in the unit of
    `lengths`: each score less `slope_within` for every unit it is longer. DataError as there."""
    return float((scores - slope_within(scores, lengths) * (lengths - length)).mean())
