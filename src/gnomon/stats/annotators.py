"""The ordinal Bradley-Terry model of annotators: who can be relied on, who leans where, and what is better.

Maximum a posteriori by EM: each step looks at all votes with the pairs' own differences integrated out, moves
every annotator by Newton's step with the complete information, then the design's weights, and sets the
population from its members and their uncertainty (Dempster, Laird and Rubin, 1977; Rao and Kupper, 1967).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.sparse import diags_array
from scipy.sparse.linalg import cg
from scipy.special import ndtr, ndtri, xlogy

from gnomon.errors import DataError
from gnomon.stats.evidence import (
    TRAITS,
    Nodes,
    Point,
    Seen,
    blocks,
    complete_information,
    factors,
    gap_slopes,
    gradient,
    look,
    mean,
    missing_information,
    place_nodes,
    stiffness,
)
from gnomon.stats.laplace import covariances, inverse_less
from gnomon.stats.ordinal import cuts, gaps_of, outcome_chances
from gnomon.stats.units import Floats
from gnomon.stats.votes import Pairs, Votes

_STEPS = 200
_CLOSE = 1e-3
"""Estimates that move by less have been found."""
_LONGEST = 1.0
"""The most an estimate moves in one step."""
_SPREADS = np.array([0.5, 0.3, 0.2, 0.4])
"""How far annotators lie apart in each trait, as far as few of them cannot tell."""
_WORTH = 2.0
"""Annotators that `_SPREADS` are worth."""
_LEAST = 0.02
"""The least spread of a trait: the population never takes all its members for one."""
_WIDEST = np.array([np.inf, 1.0, 1.0, np.inf])
"""The most: were any position offset likely, who always takes what stands first could be called reliable."""
_HALVES = 40
"""Differences at which informativeness is looked at, half of them above 0."""
_LENGTH = TRAITS.index("length")


class Population(NamedTuple):
    """Means and standard deviations of the traits over annotators, [4] each; the mean length slope is 0."""

    means: Floats
    spreads: Floats


class Interval(NamedTuple):
    """Estimates and their bounds, arrays of one shape."""

    value: Floats
    low: Floats
    high: Floats


class Belief(NamedTuple):
    """Normal beliefs about annotators before they vote: means [crowd, 4], precisions [crowd, 4, 4]."""

    means: Floats
    precisions: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What votes say, to be predicted from, updated and shown.

    `point.traits` [crowd, 4] are in the order of `TRAITS`; `covariances` [crowd, 4, 4] theirs, by Laplace.
    `differences` and `shares` [pairs, nodes] are each pair's posterior difference at its nodes. `steps` is
    how many it took; `settled` whether it stopped by itself.
    """

    kinds: int
    point: Point
    covariances: Floats
    population: Population
    differences: Floats
    shares: Floats
    log_likelihood: float
    steps: int
    settled: bool

    def trait(self, name: str, level: float = 0.9) -> Interval:
        """Each annotator's `reliability`, `position`, `length` or `log_threshold`, and its interval, [crowd].

        Reliability is log-odds per unit of quality (0 says nothing, below 0 the contrary); position is added
        for what stands first, length per unit of length, the threshold is e^log_threshold in log-odds.
        DataError for other names.
        """
        if name not in TRAITS:
            raise DataError(f"annotators: no trait {name!r}; there are {', '.join(TRAITS)}")
        column = TRAITS.index(name)
        value = self.point.traits[:, column]
        half = float(ndtri((1 + level) / 2)) * np.sqrt(self.covariances[:, column, column])
        return Interval(value, value - half, value + half)

    def informativeness(self) -> Floats:
        """What a vote tells of which answer is better, in bits from 0 to 1, [crowd].

        The mutual information of outcome and sign of the difference, for differences as they were, taken for
        normal: what reliability is worth once position and ties have had their say. Spammers of any kind
        are near 0, those too who always call a tie and of whose reliability nothing can be known.
        """
        points, weights = np.polynomial.hermite.hermgauss(_HALVES)
        size = np.sqrt(mean(self.shares, self.differences**2).mean())
        traits = self.point.traits[:, :, None]
        eta = traits[:, 0] * size * np.sqrt(2) * points + traits[:, 1]
        threshold = np.broadcast_to(np.exp(traits[:, 3]), eta.shape)
        chances = outcome_chances(eta, threshold, cuts(self.kinds, self.point.gaps))
        joint = chances * (weights / weights.sum())[:, None]
        worse, better = joint[:, : _HALVES // 2].sum(axis=1), joint[:, _HALVES // 2 :].sum(axis=1)
        bits: Floats = (xlogy(worse, 2 * worse) + xlogy(better, 2 * better)).sum(axis=1)
        bits -= xlogy(worse + better, worse + better).sum(axis=1)
        return np.maximum(bits, 0.0) / np.log(2)

    def quality(self, level: float = 0.9) -> Interval:
        """Each pair's difference in quality, first answer less second, and its interval, [pairs]."""
        value, error = self.moments()
        half = float(ndtri((1 + level) / 2)) * error
        return Interval(value, value - half, value + half)

    def moments(self) -> tuple[Floats, Floats]:
        """Posterior means and standard deviations of the pairs' differences, [pairs] each."""
        centre = mean(self.shares, self.differences)
        return centre, np.sqrt(mean(self.shares, (self.differences - centre[:, None]) ** 2))

    def better(self) -> Floats:
        """The chance that the first answer is the better one, [pairs]: the normal's of `moments`."""
        centre, error = self.moments()
        return ndtr(np.divide(centre, error, out=np.sign(centre) * 1e9, where=error > 0))

    def soft_labels(self) -> Floats:
        """How a typical annotator who leans to no side would vote, a tie counting half, [pairs].

        What a reward model is trained on: it keeps what is doubtful doubtful.
        """
        strength = np.linspace(0, 1, self.kinds)
        votes = np.where(strength == 0.5, 0.5, strength > 0.5)
        means = self.population.means
        threshold = np.full(self.differences.shape, np.exp(means[3]))
        chances = outcome_chances(means[0] * self.differences, threshold, cuts(self.kinds, self.point.gaps))
        return mean(self.shares, chances @ votes)

    def predict(self, votes: Votes, pairs: Pairs) -> Floats:
        """The chance of each outcome of such votes, whatever outcomes they hold, [votes, kinds]."""
        traits = self.point.traits[votes.annotators][:, :, None]
        offset = traits[:, 1] * votes.sides[:, None] + traits[:, 2] * pairs.lengths[votes.pairs][:, None]
        eta = traits[:, 0] * self.differences[votes.pairs] + offset
        threshold = np.broadcast_to(np.exp(traits[:, 3]), eta.shape)
        chances = outcome_chances(eta, threshold, cuts(self.kinds, self.point.gaps))
        found: Floats = np.einsum("vq,vqk->vk", self.shares[votes.pairs], chances)
        return found


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
    return Fit(
        votes.kinds,
        state.point,
        spread,
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
    belief = Belief(fit.point.traits[who], np.linalg.inv(fit.covariances[who]))
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
    tied = float((votes.outcomes * 2 == votes.kinds - 1).mean()) if votes.kinds % 2 else 0.5
    tied = min(max(tied, 0.05), 0.9)
    means = np.array([1.0, 0.0, 0.0, np.log(np.log1p(tied) - np.log1p(-tied))])
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
    population = _population(votes, traits, spread)
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


def _population(votes: Votes, traits: Floats, spread: Floats) -> Population:
    """Means and spreads of the traits of those who voted, [4] each, their uncertainty included."""
    voted = np.bincount(votes.annotators, minlength=votes.crowd) > 0
    means = traits[voted].mean(axis=0)
    means[_LENGTH] = 0.0
    squares = (traits[voted] - means) ** 2 + np.diagonal(spread[voted], axis1=1, axis2=2)
    total = squares.sum(axis=0) + _WORTH * _SPREADS**2
    return Population(means, np.clip(np.sqrt(total / (voted.sum() + _WORTH)), _LEAST, _WIDEST))


def _moved_gaps(votes: Votes, point: Point, seen: Seen) -> Floats:
    """The gaps between cuts after one scoring step under a standard normal prior, [gaps]."""
    if point.gaps.size == 0:
        return point.gaps
    own = gap_slopes(votes, point, seen)
    step = np.linalg.solve(own.T @ own + np.eye(point.gaps.size), own.sum(axis=0) - point.gaps)
    return point.gaps + np.clip(step, -_LONGEST, _LONGEST)


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
