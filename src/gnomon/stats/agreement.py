"""Whether two judges order or label alike."""

from collections.abc import Hashable, Sequence
from math import exp, log

import numpy as np

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.clustered import linear_interval
from gnomon.stats.units import Floats, positions, worth_of


def agreement_within(first: Sequence[float], second: Sequence[float], samples: int) -> float | None:
    """Pearson's correlation of two scores, each about the mean of its prompt's `samples` neighbours.

    Prompts differ in how well they can be answered, and any two scores agree on that; an optimised policy
    follows only what is left. None where one of the two tells no sample of any prompt from another.
    """
    one, other = (np.reshape(np.asarray(x, dtype=float), (-1, samples)) for x in (first, second))
    one, other = (x - x.mean(axis=1, keepdims=True) for x in (one, other))
    spread = float((one**2).sum() * (other**2).sum())
    return float((one * other).sum()) / spread**0.5 if spread > 0 else None


def agreement_by_prompt(first: Floats, second: Floats) -> Floats:
    """Pearson's correlation of two scores over each prompt's samples: [prompts, samples] both -> [prompts].

    NaN where one of the two tells no samples of the prompt apart. DataError where the shapes differ.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise DataError(
            f"agreement: scores of shape {first.shape} and {second.shape}; [prompts, samples] both"
        )
    one, other = (values - values.mean(axis=1, keepdims=True) for values in (first, second))
    together, own, others = (
        np.asarray((a * b).mean(axis=1)) for a, b in ((one, other), (one, one), (other, other))
    )
    told = (own > _rounding(first)) & (others > _rounding(second))
    return np.where(told, together / np.sqrt(np.where(told, own * others, 1.0)), np.nan)


def _rounding(scores: Floats) -> float:
    """A variance that rounding alone may leave."""
    return 1e-14 * float((scores**2).mean())


def cohen_kappa(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Cohen's kappa of two labellers of the same rows: (agreement - chance) / (1 - chance).

    Chance is sum_k p_k q_k, of the shares in which each gives label k. The interval is `linear_interval`'s,
    by the delta method (Fleiss, Cohen and Everitt, 1969) of log(1 - kappa), as kappa is skewed near 1; where
    all rows agree, no disagreement in as many units (clusters by their shares) bounds it. DataError for no
    rows, lengths that differ, fewer than two clusters, and labellers who both give but one label.
    """
    if len(first) != len(second) or len(first) == 0:
        raise DataError(f"kappa: {len(first)} labels against {len(second)}; both label the same rows")
    one, other = np.split(positions([*first, *second], 2 * len(first)), 2)
    kinds = max(one.max(), other.max()) + 1
    p, q = (np.bincount(x, minlength=kinds) / x.size for x in (one, other))
    agree, chance = one == other, float(p @ q)
    if chance == 1:
        raise DataError("kappa: both gave every row the same label, and chance alone agrees")
    kappa = float((agree.mean() - chance) / (1 - chance))
    influence = (agree - (1 - kappa) * (q[one] + p[other])) / (1 - chance)
    if agree.all():
        units = worth_of(range(one.size) if clusters is None else clusters)
        return Estimate(kappa, 1 + log((1 - level) / 2) / (units * (1 - chance)), 1.0, one.size)
    half = linear_interval(0.0, influence / (1 - kappa), clusters, level).high
    low, high = (1 - (1 - kappa) * exp(x) for x in (half, -half))
    return Estimate(kappa, max(low, -1.0), high, one.size)
