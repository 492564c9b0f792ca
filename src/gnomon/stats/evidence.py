"""What votes say of annotators and of pairs: the ordinal model's marginal likelihood, and its derivatives.

A vote's eta is reliability * difference + position * side + length * the pair's length; what a pair's
difference has of its own, z, is integrated out by Gauss-Hermite quadrature at nodes that follow each pair's
posterior. Slopes of the marginal are posterior means of those of the votes (Fisher), its curvature theirs
less the variance of the slopes (Louis, 1982).
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.special import expit, log_expit, logsumexp

from gnomon.stats.ordinal import Terms, cut_slopes, cuts, vote_terms
from gnomon.stats.units import Floats
from gnomon.stats.votes import Pairs, Votes

TRAITS = ("reliability", "position", "length", "log_threshold")
"""What an annotator is described by, in the order of every array of traits."""
CORE = (0, 1, 1, 2)
"""Which of a vote's three slopes each trait has: by eta times the difference, by eta, by log threshold."""
_NODES = 7
_NARROWEST = 0.05
_GOLD = 10.0
"""Log-odds per unit of quality with which gold speaks: as good as certain."""


class Nodes(NamedTuple):
    """Where each pair's own z is looked at, and with what log weight, prior included; [pairs, nodes] each."""

    places: Floats
    log_weights: Floats


class Point(NamedTuple):
    """All that is estimated: traits [crowd, 4], weights of the design [columns], gaps between cuts [gaps]."""

    traits: Floats
    weights: Floats
    gaps: Floats


class Seen(NamedTuple):
    """The votes at a point and at each node.

    `differences` and their posterior `shares` are [pairs, nodes], as is `pull`, the slope of all that is said
    of a pair by its difference. `own` and `weights` are differences and shares of each vote's pair; `slope`
    (by eta) and `bend` (by log threshold) are of the vote; [votes, nodes].
    """

    log_likelihood: float
    differences: Floats
    shares: Floats
    pull: Floats
    own: Floats
    weights: Floats
    slope: Floats
    bend: Floats
    terms: Terms
    thresholds: Floats


def place_nodes(means: Floats, errors: Floats) -> Nodes:
    """Gauss-Hermite nodes about each pair's posterior of z, [pairs] each; one where none is uncertain."""
    if not errors.any():
        return Nodes(means[:, None], np.zeros((len(means), 1)))
    points, weights = np.polynomial.hermite.hermgauss(_NODES)
    width = np.sqrt(2) * np.maximum(errors, _NARROWEST)[:, None]
    places = means[:, None] + width * points
    prior = -(places**2) / 2 - np.log(2 * np.pi) / 2
    return Nodes(places, np.log(weights) + points**2 + np.log(width) + prior)


def look(votes: Votes, pairs: Pairs, point: Point, nodes: Nodes) -> Seen:
    """The log marginal likelihood of the votes and of gold, and each pair's posterior over its nodes."""
    traits = point.traits[votes.annotators]
    reliability, threshold = traits[:, :1], np.exp(traits[:, 3])
    offset = traits[:, 1] * votes.sides + traits[:, 2] * pairs.lengths[votes.pairs]
    base = pairs.known + pairs.design @ point.weights
    differences = base[:, None] + pairs.spread[:, None] * nodes.places
    own = differences[votes.pairs]
    terms = vote_terms(
        reliability * own + offset[:, None], threshold, votes.outcomes, cuts(votes.kinds, point.gaps)
    )
    gathered = _by_pair(votes, pairs.count)
    sure = _GOLD * pairs.gold[:, None]
    spoken = np.log(np.maximum(terms.under * terms.over, np.finfo(np.float64).tiny))
    joint = gathered @ spoken + nodes.log_weights + np.where(sure == 0, 0.0, log_expit(sure * differences))
    norms = logsumexp(joint, axis=1)
    shares = np.exp(joint - norms[:, None])
    slope = terms.under - terms.over
    bend = terms.upper[:, None] * (1 - terms.under) - terms.lower[:, None] * (1 - terms.over)
    return Seen(
        float(norms.sum() + np.log(terms.within).sum()),
        differences,
        shares,
        gathered @ (reliability * slope) + sure * expit(-sure * differences),
        own,
        shares[votes.pairs],
        slope,
        threshold[:, None] * bend,
        terms,
        threshold,
    )


def gradient(votes: Votes, pairs: Pairs, point: Point, seen: Seen) -> Point:
    """Of `log_likelihood`, by all that is estimated, the nodes held where they are."""
    own = slopes(seen)
    return Point(
        by_annotator(votes, factors(votes, pairs) * own[:, CORE]),
        pairs.design.T @ mean(seen.shares, seen.pull),
        gap_slopes(votes, point, seen).sum(axis=0),
    )


def factors(votes: Votes, pairs: Pairs) -> Floats:
    """What each trait multiplies its slope by, [votes, 4]."""
    ones = np.ones(len(votes.pairs))
    return np.column_stack([ones, votes.sides, pairs.lengths[votes.pairs], ones])


def slopes(seen: Seen) -> Floats:
    """Posterior means of each vote's slopes, [votes, 3]: by eta times the difference, eta, log threshold."""
    weighed = seen.weights * seen.slope
    within = seen.thresholds * (seen.terms.upper - seen.terms.lower) * seen.terms.odds
    return np.column_stack([mean(weighed, seen.own), _total(weighed), mean(seen.weights, seen.bend) + within])


def gap_slopes(votes: Votes, point: Point, seen: Seen) -> Floats:
    """Posterior means of each vote's slopes by the gaps between cuts, [votes, gaps]."""
    lower, upper = cut_slopes(votes.kinds, point.gaps)
    above = 1 - mean(seen.weights, seen.terms.under) + seen.terms.odds
    below = 1 - mean(seen.weights, seen.terms.over) + seen.terms.odds
    moved = above[:, None] * upper[votes.outcomes] - below[:, None] * lower[votes.outcomes]
    return seen.thresholds[:, None] * moved


def complete_information(seen: Seen) -> Floats:
    """Minus the second derivatives of each vote, were its pair's z known, by `slopes`; [votes, 3, 3].

    The curvature by log threshold is that by threshold, without what its exponential adds: never negative.
    """
    terms, own = seen.terms, seen.own
    under = seen.weights * terms.under * (1 - terms.under)
    over = seen.weights * terms.over * (1 - terms.over)
    both = under + over
    crossed = -seen.thresholds[:, None] * (terms.upper[:, None] * under + terms.lower[:, None] * over)
    width = terms.upper - terms.lower
    by_threshold = terms.upper**2 * _total(under) + terms.lower**2 * _total(over)
    by_threshold += width**2 * terms.odds * (1 + terms.odds)
    return _symmetric(
        mean(both, own**2),
        mean(both, own),
        mean(crossed, own),
        _total(both),
        _total(crossed),
        seen.thresholds**2 * by_threshold,
    )


def missing_information(seen: Seen) -> Floats:
    """What not knowing z takes from it: the posterior covariance of each vote's slopes, [votes, 3, 3]."""
    by_eta, by_threshold = seen.weights * seen.slope, seen.weights * seen.bend
    steep, along = by_eta * seen.own, seen.slope * seen.own
    first, second, third = _total(steep), _total(by_eta), _total(by_threshold)
    return _symmetric(
        mean(steep, along) - first**2,
        mean(steep, seen.slope) - first * second,
        mean(steep, seen.bend) - first * third,
        mean(by_eta, seen.slope) - second**2,
        mean(by_eta, seen.bend) - second * third,
        mean(by_threshold, seen.bend) - third**2,
    )


def skewness(seen: Seen) -> Floats:
    """The third derivatives of each vote's marginal by reliability and by log threshold, [votes, 2].

    Of log E e^f: the mean of f''', three times the covariance of f'' and f', and the third cumulant of f'.
    """
    terms, threshold = seen.terms, seen.thresholds[:, None]
    upper, lower, odds = (x[:, None] for x in (terms.upper, terms.lower, terms.odds))
    under, over = terms.under * (1 - terms.under), terms.over * (1 - terms.over)
    tilted_under, tilted_over = under * (1 - 2 * terms.under), over * (1 - 2 * terms.over)
    square = seen.own**2
    by_difference = (
        seen.slope * seen.own,
        -(under + over) * square,
        (tilted_under - tilted_over) * (square * seen.own),
    )
    width, more = upper - lower, odds * (1 + odds)
    first = upper * (1 - terms.under) - lower * (1 - terms.over) + width * odds
    second = -(upper**2) * under - lower**2 * over - width**2 * more
    third = lower**3 * tilted_over - upper**3 * tilted_under + width**3 * more * (1 + 2 * odds)
    first, second, third = threshold * first, threshold**2 * second, threshold**3 * third
    by_threshold = (first, second + first, third + 3 * second + first)
    return np.column_stack([_third(seen.weights, *own) for own in (by_difference, by_threshold)])


def stiffness(votes: Votes, pairs: Pairs, point: Point, seen: Seen) -> Floats:
    """Minus the second derivative of all that is said of a pair by its difference, z known, [pairs]."""
    terms = seen.terms
    curved = mean(seen.weights, terms.under * (1 - terms.under) + terms.over * (1 - terms.over))
    said = _by_pair(votes, pairs.count) @ (point.traits[votes.annotators, 0] ** 2 * curved)
    sure = _GOLD * pairs.gold[:, None]
    doubt = expit(-sure * seen.differences)
    stiff: Floats = said + mean(seen.shares, sure**2 * doubt * (1 - doubt))
    return stiff


def blocks(votes: Votes, own: Floats, scaled: Floats) -> Floats:
    """The information on each annotator's traits, [crowd, 4, 4]: `own` [votes, 3, 3] times `scaled` twice."""
    found = np.empty((votes.crowd, len(CORE), len(CORE)))
    for i, first in enumerate(CORE):
        for j, second in enumerate(CORE[: i + 1]):
            entries = scaled[:, i] * scaled[:, j] * own[:, first, second]
            found[:, i, j] = found[:, j, i] = np.bincount(votes.annotators, entries, votes.crowd)
    return found


def by_annotator(votes: Votes, columns: Floats) -> Floats:
    """Sums over each annotator's votes of [votes, columns], [crowd, columns]."""
    return np.column_stack([np.bincount(votes.annotators, column, votes.crowd) for column in columns.T])


def mean(shares: Floats, values: Floats) -> Floats:
    """Sums over nodes of shares times values: the posterior mean, [rows]."""
    found: Floats = np.einsum("ij,ij->i", shares, values)
    return found


def _total(values: Floats) -> Floats:
    """Sums over nodes, [rows]: as a product, since rows are too short for a sum along them to be fast."""
    found: Floats = values @ np.ones(values.shape[1])
    return found


def _third(weights: Floats, first: Floats, second: Floats, third: Floats) -> Floats:
    """The third derivative of log E e^f from the derivatives of f at each node, [votes, nodes] each."""
    away = first - mean(weights, first)[:, None]
    return mean(weights, third + away * (3 * second + away**2))


def _by_pair(votes: Votes, count: int) -> csr_array:
    """A 1 where a vote is on a pair, [pairs, votes]."""
    rows = len(votes.pairs)
    return csr_array((np.ones(rows), (votes.pairs, np.arange(rows))), shape=(count, rows))


def _symmetric(aa: Floats, ab: Floats, ac: Floats, bb: Floats, bc: Floats, cc: Floats) -> Floats:
    """[rows, 3, 3] from its upper triangle."""
    return np.stack([aa, ab, ac, ab, bb, bc, ac, bc, cc], axis=-1).reshape(-1, 3, 3)
