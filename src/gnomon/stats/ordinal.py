"""Outcomes on a scale of strength, from a difference: the cumulative logit with cuts that mirror each other.

P(outcome <= k) = expit(cut_k - eta). An odd number of kinds has the cuts -t c_m .. -t c_1, t c_1 .. t c_m and
a tie in the middle; an even one has 0 instead of a tie. t is the tie threshold, c_1 = 1, and the others grow
by e^gap, so that swapping the answers mirrors the outcome (Rao and Kupper, 1967, for ties; Agresti, 2010).
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from gnomon.stats.units import Floats, Positions


class Cuts(NamedTuple):
    """Where each outcome begins and ends, in tie thresholds, [kinds] each; infinite at the ends."""

    lower: Floats
    upper: Floats


class Terms(NamedTuple):
    """Of each vote at each difference, [votes, nodes]: the chances not to lie above, and not below.

    The likelihood is `under * over * within`, with `within` [votes]; the ends of the scale have a chance
    of 1 on their side. `upper` and `lower` [votes] are the cuts in thresholds, 0 where there is none, and
    `odds` [votes] is 1 / (e^width - 1) of what lies between two of them, else 0.
    """

    under: Floats
    over: Floats
    within: Floats
    upper: Floats
    lower: Floats
    odds: Floats


def gaps_of(kinds: int) -> int:
    """How many gaps between cuts are free: none up to four kinds without a tie, or three with one."""
    return max((kinds - 1) // 2 - 1, 0)


def cuts(kinds: int, gaps: Floats) -> Cuts:
    """The cuts of a scale of so many kinds, `gaps` [gaps_of(kinds)] being logs."""
    positive = 1 + np.concatenate([[0.0], np.cumsum(np.exp(gaps))])
    positive = positive[: (kinds - 1) // 2]
    middle = [] if kinds % 2 else [0.0]
    inner = np.concatenate([-positive[::-1], middle, positive])
    return Cuts(np.concatenate([[-np.inf], inner]), np.concatenate([inner, [np.inf]]))


def cut_slopes(kinds: int, gaps: Floats) -> tuple[Floats, Floats]:
    """How the lower and upper cuts move with each gap, [kinds, gaps] each; 0 at the ends of the scale."""
    grown = np.tril(np.ones((gaps.size + 1, gaps.size)), -1) * np.exp(gaps)
    positive = grown[: (kinds - 1) // 2]
    inner = np.concatenate([-positive[::-1], np.zeros(((kinds + 1) % 2, gaps.size)), positive])
    end = np.zeros((1, gaps.size))
    return np.concatenate([end, inner]), np.concatenate([inner, end])


def outcome_chances(eta: Floats, threshold: Floats, scale: Cuts) -> Floats:
    """The chance of each outcome, [..., kinds], at differences `eta` and thresholds of one shape."""
    upper = threshold[..., None] * scale.upper - eta[..., None]
    lower = threshold[..., None] * scale.lower - eta[..., None]
    chances: Floats = expit(upper) - expit(lower)
    return chances


def vote_terms(eta: Floats, threshold: Floats, outcomes: Positions, scale: Cuts) -> Terms:
    """The likelihood of votes and what its derivatives need; `eta` is [votes, nodes], the others [votes].

    expit(u) - expit(l) = expit(u) expit(-l) (1 - e^(l - u)), which loses no digits.
    """
    upper, lower = scale.upper[outcomes], scale.lower[outcomes]
    under = expit((upper * threshold)[:, None] - eta)
    over = expit(eta - (lower * threshold)[:, None])
    inner = np.isfinite(upper) & np.isfinite(lower)
    width = np.where(inner, (upper - lower) * threshold, np.inf)
    within = -np.expm1(-width)
    upper, lower = (np.where(np.isfinite(x), x, 0.0) for x in (upper, lower))
    return Terms(under, over, within, upper, lower, (1 - within) / within)
