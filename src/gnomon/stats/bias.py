"""What annotators are moved by besides quality: position, length and tiredness; for probes see `probes`."""

from collections.abc import Sequence
from math import log
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from gnomon.errors import DataError
from gnomon.stats.annotator_fit import Fit, Interval
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.evidence import TRAITS
from gnomon.stats.proportion import wilson_clustered
from gnomon.stats.significance import benjamini_hochberg
from gnomon.stats.units import Floats, Positions, finite
from gnomon.stats.votes import Votes


class Trend(NamedTuple):
    """Of each annotator: the slope per vote, its two-sided p-value, and that by Benjamini and Hochberg."""

    slopes: Floats
    p_values: Floats
    adjusted: Floats


class Alarm(NamedTuple):
    """The running evidence for a drop, [votes], and the first vote at which it was enough, or None."""

    evidence: Floats
    at: int | None


def position_rate(votes: Votes, level: float = 0.95) -> Estimate:
    """Of the decided votes with a known side, the share for what stood first; each annotator is a cluster.

    A half where nobody leans and the order was drawn. DataError where no such vote is.
    """
    preferred = np.sign(2 * votes.outcomes - votes.kinds + 1) * votes.sides
    decided = preferred != 0
    return wilson_clustered(
        (preferred[decided] > 0).astype(np.float64), votes.annotators[decided].tolist(), level
    )


def position_slope(fit: Fit, level: float = 0.95) -> Estimate:
    """The population's mean position offset, in log-odds for what stands first, and its interval.

    From annotators who lie s^2 apart and are known to v_j each: variance 1 / sum_j 1 / (s^2 + v_j), where a
    posterior variance V_j makes the term (s^2 - V_j) / s^4; Student's t. It is free of quality, which the
    rate is not: clear pairs hide the bias. DataError for fewer than two annotators with votes.
    """
    column = TRAITS.index("position")
    between = float(fit.population.spreads[column]) ** 2
    terms = np.maximum(between - fit.covariances[:, column, column], 0.0) / between**2
    voted = int((terms > 1e-9 / between).sum())
    if voted < 2:
        raise DataError("position slope: fewer than two annotators have voted on pairs with a known side")
    value = float(fit.population.means[column])
    half = float(stdtrit(voted - 1, (1 + level) / 2)) / float(np.sqrt(terms.sum()))
    return Estimate(value, value - half, value + half, voted)


def length_deviations(fit: Fit, level: float = 0.9) -> Interval:
    """How much more, or less, each annotator is drawn to length than annotators are on average, [crowd].

    What all are drawn to alike cannot be told from longer answers being better: beside free differences the
    population's slope is not identified. Probes that change length alone, or a reward that knows none,
    would tell it.
    """
    found = fit.trait("length", level)
    middle = found.value.mean()
    return Interval(*(bound - middle for bound in found))


def trend(annotators: Positions, indices: Floats, values: Floats, crowd: int) -> Trend:
    """Whether each annotator's values rise or fall with the index of the vote: least squares, Student's t.

    One row per vote, [votes] each: gold answered rightly (1 or 0), or the log of seconds, for tiredness.
    Fewer than three votes, or values or indices that do not vary, say nothing: slope 0, p-value 1.
    """
    known, index = finite(values, "values"), finite(indices, "indices")
    count = np.bincount(annotators, minlength=crowd)

    def centred(x: Floats) -> Floats:
        return x - (np.bincount(annotators, x, crowd) / np.maximum(count, 1))[annotators]

    across, up = centred(index), centred(known)
    spread, covered, varied = (np.bincount(annotators, x, crowd) for x in (across**2, across * up, up**2))
    enough = (count > 2) & (spread > 0) & (varied > 0)
    slopes = np.divide(covered, spread, out=np.zeros(crowd), where=enough)
    degrees = np.maximum(count - 2, 1)
    left = np.maximum(varied - slopes * covered, 1e-12 * varied) / degrees
    t = np.divide(
        np.abs(slopes), np.sqrt(left / np.where(enough, spread, 1)), out=np.zeros(crowd), where=enough
    )
    p_values = np.where(enough, 2 * stdtr(degrees, -t), 1.0)
    return Trend(slopes, p_values, benjamini_hochberg(p_values))


def accuracy_alarm(right: Sequence[bool] | Floats, expected: float, dropped: float, patience: float) -> Alarm:
    """Page's cumulative sum (1954) of one annotator's gold votes, in their order, against a drop in accuracy.

    S = max(0, S + log-likelihood ratio of `dropped` to `expected`), an alarm from log(patience) on: where
    nothing drops, false ones come no more often than once in `patience` votes (Lorden, 1971). DataError
    unless 0 < dropped < expected < 1 and patience is above 1.
    """
    if not 0 < dropped < expected < 1 or patience <= 1:
        raise DataError(
            f"alarm: accuracy {dropped} must lie below {expected}, both in (0, 1), and patience above 1"
        )
    hit, miss = log(dropped / expected), log((1 - dropped) / (1 - expected))
    steps = np.where(np.asarray(right, dtype=bool), hit, miss)
    total = np.concatenate([[0.0], np.cumsum(steps)])
    evidence = (total - np.minimum.accumulate(total))[1:]
    loud = np.flatnonzero(evidence >= log(patience))
    return Alarm(evidence, int(loud[0]) if loud.size else None)
