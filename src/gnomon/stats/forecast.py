"""The peak of gold foretold without gold: what a second reward model says, freed of what it shares with the
proxy, a little ahead of where the policy is.

Two steps, with an assumption each.

1. Gold from two scores. In the answers people were shown, let s be the second model's score, p the proxy's
   and g gold. Selection by p alone (the best of n, or the tilt e^(lambda p) that is the optimum of
   KL-regularised RL, arXiv:2305.18290, eq. 4) leaves the law of s given g and p as it is. So where
   E[s | g, p] = a + b g + c p is linear, it holds all along the climb, and gold's gain is

       gold = (second - c proxy) / b,

   gains of the means from the start. c is what both models share: with independent errors it is 0 and the
   second model shows gold's course itself; with a shared error it rises where gold does not. b and c come
   from pairs that people labelled. E[m v] = sqrt(2/pi) tau cov(m, g) for the margin m of either model, votes
   v = +-1 and normal differences g of unit variance, where tau, the correlation of what voters see with g,
   follows from how often two of them agree: 1/2 + arcsin(tau^2)/pi. The assumptions: linearity, as far as
   the climb goes, and voters who err by noise; a bias of theirs counts as gold.

2. What is ahead. The policy's own samples, weighed by e^(delta p), are samples of the policy that climbs on,
   at a KL from the start of E_w[log pi/pi_0] + delta E_w[p] - log mean e^(delta p). Where the implied gold
   of weighed samples stops rising lies the peak. That reaches as far as some samples stand for the rest:
   about ln(samples / LEAST) nats ahead, and farther ahead nothing is foretold. The assumption: the policy
   goes on to move by p alone.
"""

from collections.abc import Sequence
from math import asin, inf, pi, sin, sqrt
from typing import NamedTuple

import numpy as np

from gnomon.errors import DataError
from gnomon.stats.units import Floats

LEAST = 15
"""Effective samples, 1 / sum of squared weights, below which weighed samples tell nothing."""
STEEPEST = 0.97
"""A correlation of a model with gold is held below this: estimates from few pairs may pass 1."""
FARTHEST = 8.0
"""The largest delta that is looked at, in standard deviations of the proxy's score."""
STRIDES = 80


class Witness(NamedTuple):
    """What labelled pairs tell of two reward models: how the second one's score rises with gold, a standard
    deviation of its differences, at the same proxy score, and with the proxy's score at the same gold.

    `accuracy` is the two models' with gold, by their correlations; `together` is that of their margins.
    """

    by_gold: float
    by_proxy: float
    accuracy: tuple[float, float]
    together: float
    reliability: float

    def implied(self, proxy: Floats, second: Floats) -> Floats:
        """What gold has gained where the two scores have gained this, in standard deviations of gold's
        differences.

        DataError where the second model knows no more of gold than the proxy does.
        """
        if self.by_gold <= 0:
            raise DataError(
                "the second reward model knows nothing of gold that the proxy does not; train it on other "
                "comparisons, by other people"
            )
        return (second - self.by_proxy * proxy) / self.by_gold


def witness(proxy: Floats, second: Floats, votes: Floats) -> Witness:
    """What pairs tell: margins of both models [pairs] and two people's votes [pairs, 2], 1 for the first
    answer and -1 for the second.

    DataError where the shapes differ, where people agree no more than chance would have them, or where a
    model tells no pair from another.
    """
    if proxy.shape != second.shape or votes.shape != (*proxy.shape, 2):
        raise DataError(
            f"pairs: margins of shape {proxy.shape} and {second.shape}, votes of {votes.shape}; give each "
            "pair a margin of either model and two votes"
        )
    agreed = sin(pi * (float((votes[:, 0] == votes[:, 1]).mean()) - 0.5))
    spreads = [float(np.sqrt((margin**2).mean())) for margin in (proxy, second)]
    if agreed <= 0 or min(spreads) == 0:
        raise DataError(
            "pairs: people agree no more than by chance" if agreed <= 0 else "pairs: a model has no margins"
        )
    seen = sqrt(2 / pi) * sqrt(agreed)
    said = votes.mean(axis=1)
    known = [
        float(np.clip((margin * said).mean() / (seen * spread), -STEEPEST, STEEPEST))
        for margin, spread in zip((proxy, second), spreads, strict=True)
    ]
    together = float((proxy * second).mean()) / (spreads[0] * spreads[1])
    rest = 1 - known[0] ** 2
    return Witness(
        spreads[1] * (known[1] - together * known[0]) / rest,
        spreads[1] / spreads[0] * (together - known[0] * known[1]) / rest,
        (0.5 + asin(known[0]) / pi, 0.5 + asin(known[1]) / pi),
        together,
        sqrt(agreed),
    )


class Seen(NamedTuple):
    """What is seen at a point of a climb, [prompts, samples] each; `log_ratio` is log pi/pi_0."""

    proxy: Floats
    second: Floats
    log_ratio: Floats

    @property
    def distance(self) -> float:
        """Root of the mean sequence KL, 0 where its estimate is below."""
        return sqrt(max(float(self.log_ratio.mean()), 0.0))


class Ahead(NamedTuple):
    """The climb that goes on: distances and implied gold, from the last point on, [strides] each."""

    distances: Floats
    gold: Floats


class Forecast(NamedTuple):
    """Where gold peaks, in root nats; infinite where that is not in sight.

    `low` and `high` hold 80 % of resamples, `sure` is the share of them that have it in sight. `ahead` is
    what was looked at.
    """

    peak: float
    low: float
    high: float
    sure: float
    ahead: Ahead


def foretell(seen: Sequence[Seen], known: Witness, resamples: int = 60, seed: int = 0) -> Forecast:
    """The peak, from the points of a climb so far, the start first; intervals resample prompts.

    DataError for fewer than two points, and as `Witness.implied` has it.
    """
    if len(seen) < 2:
        raise DataError(f"{len(seen)} points of a climb; a forecast takes its start and one more")
    ahead = look_ahead(seen[0], seen[-1], known)
    behind = _behind(seen, known)
    rng = np.random.default_rng(seed)
    count = len(seen[0].proxy)
    peaks = []
    for _ in range(resamples):
        chosen = rng.integers(0, count, size=count)
        drawn = [Seen(*(values[chosen] for values in point)) for point in seen]
        peaks.append(_peak(look_ahead(drawn[0], drawn[-1], known), _behind(drawn, known)))
    low = float(np.quantile(peaks, 0.1, method="lower"))
    high = float(np.quantile(peaks, 0.9, method="higher"))
    return Forecast(_peak(ahead, behind), low, high, float(np.isfinite(peaks).mean()), ahead)


def look_ahead(start: Seen, now: Seen, known: Witness) -> Ahead:
    """The climb from `now` on, by the samples there, weighed within their prompts."""
    proxy, second, ratio = (
        (values - values.mean(axis=1, keepdims=True)).ravel()
        for values in (now.proxy, now.second, now.log_ratio)
    )
    gold = known.implied(proxy, second)
    gained = float(
        known.implied(
            np.array(now.proxy.mean() - start.proxy.mean()), np.array(now.second.mean() - start.second.mean())
        )
    )
    deltas = np.linspace(0, FARTHEST, STRIDES) / (proxy.std() or 1.0)
    powers = np.exp(deltas[:, None] * (proxy - proxy.max()))
    weights = powers / powers.sum(axis=1, keepdims=True)
    told = 1 / (weights**2).sum(axis=1) >= min(LEAST, len(proxy))
    spent = deltas * (weights @ proxy) - np.log(powers.mean(axis=1)) - deltas * proxy.max()
    kl = float(now.log_ratio.mean()) + weights @ ratio + spent
    return Ahead(np.sqrt(np.maximum(kl, 0.0))[told], gained + (weights @ gold)[told])


def _behind(seen: Sequence[Seen], known: Witness) -> Ahead:
    """The points so far."""
    proxy, second = (
        np.array([float(values.mean()) for values in column])
        for column in zip(*((point.proxy, point.second) for point in seen), strict=True)
    )
    distances = np.array([point.distance for point in seen])
    return Ahead(distances, known.implied(proxy - proxy[0], second - second[0]))


def _peak(ahead: Ahead, behind: Ahead) -> float:
    """The highest of what is ahead and behind; infinite where it is the last that can be seen ahead."""
    best = int(np.argmax(ahead.gold))
    if behind.gold.max() >= ahead.gold[best]:
        return float(behind.distances[int(np.argmax(behind.gold))])
    return inf if best == len(ahead.gold) - 1 else float(ahead.distances[best])
