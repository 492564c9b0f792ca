"""The ordinal Bradley-Terry model of annotators: who can be relied on, who leans where, and what is better.

Maximum a posteriori by EM: each step looks at all votes with the pairs' own differences integrated out, moves
every annotator by Newton's step with the complete information, then the design's weights, and sets the
population from its members and their uncertainty (Dempster, Laird and Rubin, 1977; Rao and Kupper, 1967).
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.sparse import diags_array
from scipy.sparse.linalg import cg

from gnomon.errors import DataError
from gnomon.stats.annotator_fit import Fit, Population
from gnomon.stats.evidence import (
    TRAITS,
    Nodes,
    Point,
    Seen,
    blocks,
    by_annotator,
    complete_information,
    factors,
    gap_slopes,
    gradient,
    look,
    mean,
    missing_information,
    place_nodes,
    skewness,
    stiffness,
)
from gnomon.stats.laplace import MEANS_PRECISION, covariances, inverse_less
from gnomon.stats.ordinal import gaps_of
from gnomon.stats.units import Floats
from gnomon.stats.votes import Pairs, Votes

_STEPS = 200
_CLOSE = 1e-3
"""Estimates that move by less have been found."""
_LONGEST = 1.0
"""The most an estimate moves in one step."""
_SPREADS = np.array([0.5, 0.3, 0.2, 0.4])
"""How far annotators lie apart in each trait, as far as few of them cannot tell."""
_SKEWED = [TRAITS.index("reliability"), TRAITS.index("log_threshold")]
_FARTHEST = 0.5
"""Standard deviations by which a posterior's mean is taken to lie from its mode, at most."""
_WORTH = 2.0
"""Annotators that `_SPREADS` are worth."""
_LEAST = 0.02
"""The least spread of a trait: the population never takes all its members for one."""
_WIDEST = np.array([np.inf, 1.0, 1.0, np.inf])
"""The most: were any position offset likely, who always takes what stands first could be called reliable."""
_MEANS = np.array([1.0, 0.0, 0.0, -0.5])
"""Where the population's means are taken to lie, give or take 2, before anyone votes."""


class Belief(NamedTuple):
    """Normal beliefs about annotators before they vote: means [crowd, 4], precisions [crowd, 4, 4]."""

    means: Floats
    precisions: Floats


class _State(NamedTuple):
    """Between two steps: the point, the pairs' nodes, the belief about annotators, and spreads of weights."""

    point: Point
    nodes: Nodes
    belief: Belief
    population: Population
    weight_spreads: Floats


def fit_annotators(votes: Votes, pairs: Pairs, steps: int = _STEPS) -> Fit:
    """Fit reliability, position offset, length slope and tie threshold of every annotator, and the pairs.

    All are drawn from a population that is estimated with them; annotators without votes have its means and
    spreads. The population's length slope is 0 by convention: beside free differences it is not identified,
    so slopes are deviations from whatever length is worth. Where no gold speaks, that most annotators tell
    better from worse decides which way is up. DataError for votes on pairs that are not given.
    """
    if votes.pairs.max() >= pairs.count:
        raise DataError(f"annotators: a vote on pair {votes.pairs.max()}, but only {pairs.count} are given")
    state = _start(votes, pairs)
    moved, step = np.inf, 0
    while moved > _CLOSE and step < steps:
        before = state.point
        state = _em_step(votes, pairs, state)
        moved = max(float(np.abs(a - b).max(initial=0)) for a, b in zip(before, state.point, strict=True))
        step += 1
    seen = look(votes, pairs, state.point, state.nodes)
    spread = covariances(votes, pairs, state.point, seen, _priors(state))
    traits = state.point.traits + _skewed(votes, seen, spread)
    return Fit(
        votes.kinds,
        state.point._replace(traits=traits),
        _widened(traits, spread, state.population),
        state.population,
        seen.differences,
        seen.shares,
        seen.log_likelihood,
        step,
        moved <= _CLOSE,
    )


def update(fit: Fit, votes: Votes, pairs: Pairs, steps: int = 20) -> Fit:
    """The fit after more votes, without looking at those before again: what it said is the prior.

    Only the annotators and pairs of the new votes move; both must be among those that were fitted. Annotators
    are taken to be normal about their traits and pairs about their differences, population and design as
    they were; a refit settles what that leaves out.
    """
    who, annotators = np.unique(votes.annotators, return_inverse=True)
    which, places = np.unique(votes.pairs, return_inverse=True)
    own = replace(votes, annotators=annotators, pairs=places, crowd=len(who))
    centre, error = fit.moments()
    known = Pairs.of(len(which), known=centre[which], lengths=pairs.lengths[which])
    known = replace(known, spread=error[which])
    precisions = np.linalg.inv(fit.covariances[who]).astype(np.float64)
    belief = Belief(fit.point.traits[who], precisions)
    point = Point(belief.means, np.zeros(0), fit.point.gaps)
    nodes = place_nodes(np.zeros(len(which)), (error[which] > 0).astype(np.float64))
    for _ in range(steps):
        seen = look(own, known, point, nodes)
        traits, _ = _newton(own, known, point, seen, belief)
        point, nodes = point._replace(traits=traits), _follow(nodes, seen)
    seen = look(own, known, point, nodes)
    traits, spread, differences, shares = (
        x.copy() for x in (fit.point.traits, fit.covariances, fit.differences, fit.shares)
    )
    traits[who], spread[who] = point.traits, _newton(own, known, point, seen, belief)[1]
    differences[which], shares[which] = seen.differences, seen.shares
    return replace(
        fit,
        point=fit.point._replace(traits=traits),
        covariances=spread,
        differences=differences,
        shares=shares,
    )


def _start(votes: Votes, pairs: Pairs) -> _State:
    """Everyone alike, or as reliable as gold says; thresholds as ties are frequent."""
    means = _MEANS.copy()
    if votes.kinds % 2:
        tied = min(max(float((votes.outcomes * 2 == votes.kinds - 1).mean()), 0.05), 0.9)
        means[3] = np.log(np.log1p(tied) - np.log1p(-tied))
    population = Population(means, _SPREADS)
    traits = np.tile(means, (votes.crowd, 1))
    said = np.sign(2 * votes.outcomes - votes.kinds + 1) * pairs.gold[votes.pairs]
    right = np.bincount(votes.annotators, said, votes.crowd)
    traits[:, 0] = (right + 1) / (np.bincount(votes.annotators, np.abs(said), votes.crowd) + 1)
    point = Point(traits, np.zeros(pairs.design.shape[1]), np.zeros(gaps_of(votes.kinds)))
    nodes = place_nodes(np.zeros(pairs.count), (pairs.spread > 0).astype(np.float64))
    return _State(point, nodes, _belief(population, votes.crowd), population, np.ones(pairs.design.shape[1]))


def _belief(population: Population, crowd: int) -> Belief:
    """The population's, of each of its members."""
    precision = np.diag(population.spreads**-2.0)
    return Belief(np.tile(population.means, (crowd, 1)), np.tile(precision, (crowd, 1, 1)))


def _priors(state: _State) -> tuple[Floats, Floats]:
    """Precisions of traits [crowd, 4, 4] and of weights [columns]."""
    return state.belief.precisions, state.weight_spreads**-2.0


def _em_step(votes: Votes, pairs: Pairs, state: _State) -> _State:
    """Every estimate moved once."""
    seen = look(votes, pairs, state.point, state.nodes)
    traits, spread = _newton(votes, pairs, state.point, seen, state.belief)
    gaps = _moved_gaps(votes, state.point, seen)
    population = _population(votes, traits + _skewed(votes, seen, spread), spread, state.population)
    point, nodes = state.point._replace(traits=traits, gaps=gaps), _follow(state.nodes, seen)
    spreads = state.weight_spreads
    if spreads.size:
        seen = look(votes, pairs, point, nodes)
        point, spreads, size = _moved_weights(votes, pairs, point, seen, spreads)
        population, nodes = _scaled(population, size), _follow(nodes, seen)
    return _State(point, nodes, _belief(population, votes.crowd), population, spreads)


def _newton(votes: Votes, pairs: Pairs, point: Point, seen: Seen, belief: Belief) -> tuple[Floats, Floats]:
    """The traits after one step, [crowd, 4], and their covariances where they were, [crowd, 4, 4]."""
    scaled = factors(votes, pairs)
    complete = blocks(votes, complete_information(seen), scaled) + belief.precisions
    missing = blocks(votes, missing_information(seen), scaled)
    away, said = point.traits - belief.means, gradient(votes, pairs, point, seen).traits
    # What the exponential of a log threshold adds; without it, steps towards smaller ones overshoot.
    complete[:, 3, 3] += np.maximum(-said[:, 3], 0.0)
    slope = said - np.einsum("aij,aj->ai", belief.precisions, away)
    step = np.linalg.solve(complete, slope[:, :, None])[:, :, 0]
    return point.traits + np.clip(step, -_LONGEST, _LONGEST), inverse_less(complete, missing)


def _skewed(votes: Votes, seen: Seen, spread: Floats) -> Floats:
    """How far the means of the traits lie from where their posterior is highest, [crowd, 4].

    To third order (Tierney and Kadane, 1986), by the skewness of reliability and of log thresholds: the more
    reliable an annotator, and the fewer the ties, the less votes tell how much so. Where the expansion asks
    for more than half a standard deviation it is not to be trusted, and gets that.
    """
    third = by_annotator(votes, skewness(seen))
    error = np.sqrt(np.diagonal(spread, axis1=1, axis2=2)[:, _SKEWED])
    steps = np.clip(error**3 * third / 2, -_FARTHEST, _FARTHEST)
    moved: Floats = np.einsum("aij,aj->ai", spread[:, :, _SKEWED], steps / error)
    return moved


def _widened(traits: Floats, spread: Floats, population: Population) -> Floats:
    """Covariances with what not knowing the spreads of the population adds (Kass and Steffey, 1989).

    A trait that votes tell with share b of its variance, and the population the rest, moves by (1 - b) times
    its distance from the mean as the log of the population's variance does, which is known to 2 / sum b^2.
    """
    left = np.diagonal(spread, axis1=1, axis2=2) / population.spreads**2
    told = (np.maximum(1 - left, 0) ** 2).sum(axis=0)
    added = (left * (traits - population.means)) ** 2 * 2 / (told + _WORTH)
    wider = spread.copy()
    wider[:, range(4), range(4)] += added
    return wider


def _population(votes: Votes, traits: Floats, spread: Floats, before: Population) -> Population:
    """Means and spreads of the traits of those who voted, [4] each, their uncertainty included.

    The means are estimated from them as well, which costs one of them (as in the sample variance).
    """
    voted = np.bincount(votes.annotators, minlength=votes.crowd) > 0
    weight = voted.sum() / before.spreads**2
    means = (weight * traits[voted].mean(axis=0) + MEANS_PRECISION * _MEANS) / (weight + MEANS_PRECISION)
    squares = (traits[voted] - means) ** 2 + np.diagonal(spread[voted], axis1=1, axis2=2)
    total = squares.sum(axis=0) + _WORTH * _SPREADS**2
    return Population(means, np.clip(np.sqrt(total / (voted.sum() - 1 + _WORTH)), _LEAST, _WIDEST))


def _moved_gaps(votes: Votes, point: Point, seen: Seen) -> Floats:
    """The gaps between cuts after one scoring step under a standard normal prior, [gaps]."""
    if point.gaps.size == 0:
        return point.gaps
    own = gap_slopes(votes, point, seen)
    step = np.linalg.solve(own.T @ own + np.eye(point.gaps.size), own.sum(axis=0) - point.gaps)
    gaps: Floats = point.gaps + np.clip(step, -_LONGEST, _LONGEST)
    return gaps


def _moved_weights(
    votes: Votes, pairs: Pairs, point: Point, seen: Seen, spreads: Floats
) -> tuple[Point, Floats, float]:
    """The design's weights after one Newton step, and the prior's spread of each, its group's.

    Where neither spread nor known differences set a scale, weights are given a mean square of 1, and
    reliabilities are multiplied by what they were divided by, the third value.
    """
    stiff = stiffness(votes, pairs, point, seen)
    slope = pairs.design.T @ mean(seen.shares, seen.pull) - point.weights / spreads**2
    diagonal = (pairs.design**2).T @ stiff + spreads**-2.0
    steep = pairs.design.T @ diags_array(stiff) @ pairs.design + diags_array(spreads**-2.0)
    step, _ = cg(steep, slope, rtol=1e-6, M=diags_array(1 / diagonal))
    weights = point.weights + np.clip(step, -_LONGEST, _LONGEST)
    squares, size = weights**2 + 1 / diagonal, 1.0
    if pairs.spread.any() or pairs.known.any():
        groups = np.bincount(pairs.groups)
        total = np.bincount(pairs.groups, squares) + _WORTH
        spreads = np.maximum(np.sqrt(total / (groups + _WORTH)), _LEAST)[pairs.groups]
    else:
        size = float(np.sqrt(squares.mean()))
    traits = point.traits * np.array([size, 1, 1, 1])
    return point._replace(traits=traits, weights=weights / size), spreads, size


def _scaled(population: Population, size: float) -> Population:
    """The population after all its reliabilities were multiplied by `size`."""
    factor = np.array([size, 1, 1, 1])
    return Population(population.means * factor, population.spreads * factor)


def _follow(nodes: Nodes, seen: Seen) -> Nodes:
    """Nodes about the posterior that those before have found."""
    centre = mean(seen.shares, nodes.places)
    return place_nodes(centre, np.sqrt(mean(seen.shares, (nodes.places - centre[:, None]) ** 2)))
