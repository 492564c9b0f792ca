"""Slopes and curvatures against finite differences of the likelihood, and that against plain integration."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_expit

from gnomon.stats.evidence import (
    CORE,
    Nodes,
    Point,
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
    slopes,
    stiffness,
)
from gnomon.stats.ordinal import cuts, gaps_of, outcome_chances
from gnomon.stats.votes import Pairs, Votes, score_design

STEP = 1e-5


def drawn(kinds=3, spread=1.0, seed=0):
    """Twelve pairs, some of them gold, with forty votes of four annotators; and a point to look from."""
    random = np.random.default_rng(seed)
    votes = Votes.of(
        random.integers(0, 12, 40),
        random.integers(0, 4, 40),
        random.integers(0, kinds, 40),
        kinds,
        random.choice([-1.0, 0.0, 1.0], 40),
    )
    first, second = np.arange(12) % 5, (np.arange(12) + 1) % 5
    gold = np.where(np.arange(12) < 3, [1, -1] * 6, 0)
    pairs = Pairs.of(
        12,
        spread=spread,
        design=score_design(first, second, 5),
        known=random.normal(size=12),
        lengths=random.normal(size=12),
        gold=gold,
    )
    traits = random.normal([1.0, 0.2, 0.1, -0.5], 0.4, (4, 4))
    point = Point(traits, random.normal(size=5), random.normal(size=gaps_of(kinds)))
    centres, errors = random.normal(0, 0.3, 12), random.uniform(0.5, 1, 12) * spread
    return votes, pairs, point, place_nodes(centres, errors)


def moved(point, name, index, by):
    values = getattr(point, name).copy()
    values[index] += by
    return point._replace(**{name: values})


def by_differences(votes, pairs, point, nodes, name):
    found = np.zeros_like(getattr(point, name))
    for index in np.ndindex(found.shape):
        ends = [look(votes, pairs, moved(point, name, index, by), nodes) for by in (STEP, -STEP)]
        found[index] = (ends[0].log_likelihood - ends[1].log_likelihood) / (2 * STEP)
    return found


@pytest.mark.parametrize("kinds", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_the_gradient_is_that_of_the_likelihood(kinds, spread):
    case = drawn(kinds, spread)
    found = gradient(*case[:3], look(*case))
    for name in Point._fields:
        assert getattr(found, name) == pytest.approx(by_differences(*case, name), abs=1e-6), name


def test_the_likelihood_is_the_integral_over_what_pairs_have_of_their_own():
    votes, pairs, point, _ = drawn()
    nodes = place_nodes(np.zeros(12), np.ones(12))
    for _ in range(5):
        seen = look(votes, pairs, point, nodes)
        centres = mean(seen.shares, nodes.places)
        nodes = place_nodes(centres, np.sqrt(mean(seen.shares, (nodes.places - centres[:, None]) ** 2)))
    z = np.linspace(-8, 8, 4_001)
    total = 0.0
    for pair in range(12):
        differences = pairs.known[pair] + (pairs.design @ point.weights)[pair] + z
        density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
        if pairs.gold[pair]:
            density = density * np.exp(log_expit(10 * pairs.gold[pair] * differences))
        for row in np.flatnonzero(votes.pairs == pair):
            r, o, length, t = point.traits[votes.annotators[row]]
            eta = r * differences + o * votes.sides[row] + length * pairs.lengths[pair]
            chances = outcome_chances(eta, np.full(eta.shape, np.exp(t)), cuts(3, np.zeros(0)))
            density = density * chances[:, votes.outcomes[row]]
        total += np.log(density.sum() * (z[1] - z[0]))
    assert look(votes, pairs, point, nodes).log_likelihood == pytest.approx(total, abs=0.05)
    plain = replace(pairs, gold=np.zeros(12))
    near = look(votes, plain, point, place_nodes(np.zeros(12), np.ones(12))).log_likelihood
    assert near < 0, "seven nodes about the prior are a start"


def test_a_pair_nobody_judged_says_nothing():
    votes = Votes.of([0], [0], [2])
    alone, beside = (
        look(votes, Pairs.of(n), Point(np.array([[1.0, 0, 0, 0]]), np.zeros(0), np.zeros(0)), nodes)
        for n, nodes in ((k, place_nodes(np.zeros(k), np.ones(k))) for k in (1, 3))
    )
    assert beside.log_likelihood == pytest.approx(alone.log_likelihood)


def test_nodes_integrate_the_normal():
    nodes = place_nodes(np.array([0.4]), np.array([0.8]))
    weights = np.exp(nodes.log_weights)
    assert weights.sum() == pytest.approx(1, abs=1e-3)
    assert (weights * nodes.places**2).sum() == pytest.approx(1, abs=5e-3)
    known = place_nodes(np.array([0.4, 0.0]), np.zeros(2))
    assert (known.places.tolist(), known.log_weights.tolist()) == ([[0.4], [0.0]], [[0.0], [0.0]])


@pytest.mark.parametrize("kinds", [2, 3, 5])
def test_curvature_is_the_complete_information_less_what_is_missing(kinds):
    """Of an annotator who votes once on each pair: minus the derivative of the gradient, by differences."""
    votes, pairs, point, nodes = drawn(kinds)
    votes = Votes.of(np.arange(12), [0] * 12, votes.outcomes[:12], kinds, votes.sides[:12])
    point = point._replace(traits=point.traits[:1])
    seen = look(votes, pairs, point, nodes)
    exact = complete_information(seen)
    exact[:, 2, 2] -= slopes(seen)[:, 2]
    found = blocks(votes, exact - missing_information(seen), factors(votes, pairs))[0]
    for k in range(4):
        ends = [moved(point, "traits", (0, k), by) for by in (STEP, -STEP)]
        up, down = (gradient(votes, pairs, end, look(votes, pairs, end, nodes)).traits[0] for end in ends)
        assert found[k] == pytest.approx(-(up - down) / (2 * STEP), abs=1e-5)


def test_skewness_is_the_third_derivative_of_the_marginal():
    """Of an annotator who votes once on each pair: by differences of the gradient along each trait."""
    votes, pairs, point, nodes = drawn(5)
    votes = Votes.of(np.arange(12), [0] * 12, votes.outcomes[:12], 5, votes.sides[:12])
    point = point._replace(traits=point.traits[:1])
    found = skewness(look(votes, pairs, point, nodes)).sum(axis=0)
    for place, trait in enumerate((0, 3)):
        ends = [moved(point, "traits", (0, trait), by) for by in (1e-3, 0.0, -1e-3)]
        up, at, down = (
            gradient(votes, pairs, end, look(votes, pairs, end, nodes)).traits[0, trait] for end in ends
        )
        assert found[place] == pytest.approx((up - 2 * at + down) / 1e-6, rel=1e-3, abs=1e-4)


def test_stiffness_is_the_curvature_by_the_difference_where_it_is_known():
    votes, pairs, point, nodes = drawn(spread=0.0)
    found = stiffness(votes, pairs, point, look(votes, pairs, point, nodes))
    for pair in range(12):
        step = STEP * np.eye(12)[pair]
        up, down = (
            look(votes, replace(pairs, known=pairs.known + by), point, nodes).pull[pair, 0]
            for by in (step, -step)
        )
        assert found[pair] == pytest.approx(-(up - down) / (2 * STEP), abs=1e-4)


def test_complete_information_is_never_negative():
    votes, pairs, point, nodes = drawn(5)
    seen = look(votes, pairs, point, nodes)
    assert np.linalg.eigvalsh(complete_information(seen)).min() > -1e-12
    assert np.linalg.eigvalsh(missing_information(seen)).min() > -1e-12
    assert gap_slopes(votes, point, seen).shape == (40, 1)


def test_sums_over_annotators_by_hand():
    votes = Votes.of([0, 1, 0], [0, 0, 2], [0, 1, 2], sides=[1, -1, 1])
    assert by_annotator(votes, np.array([[1.0], [2.0], [4.0]])).tolist() == [[3], [0], [4]]
    assert factors(votes, Pairs.of(2, lengths=[3, 5])).tolist() == [[1, 1, 3, 1], [1, -1, 5, 1], [1, 1, 3, 1]]
    assert len(CORE) == 4
    assert isinstance(place_nodes(np.zeros(1), np.ones(1)), Nodes)
