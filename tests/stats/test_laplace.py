import numpy as np
import pytest
from planted import planted

from gnomon.stats.annotators import fit_annotators
from gnomon.stats.crowd import Habits
from gnomon.stats.evidence import gradient, look, mean, place_nodes
from gnomon.stats.laplace import covariances, inverse_less
from gnomon.stats.votes import Pairs

STEP = 1e-4


def settled_nodes(votes, pairs, point, rounds=6):
    nodes = place_nodes(np.zeros(pairs.count), (pairs.spread > 0).astype(float))
    for _ in range(rounds):
        seen = look(votes, pairs, point, nodes)
        centres = mean(seen.shares, nodes.places)
        nodes = place_nodes(centres, np.sqrt(mean(seen.shares, (nodes.places - centres[:, None]) ** 2)))
    return nodes


@pytest.mark.parametrize(("spread", "columns"), [(1.0, 0), (1.0, 2), (0.0, 2)])
def test_covariances_are_the_inverse_of_the_curvature_by_differences(spread, columns):
    """Of all traits and weights at once; annotators hang together through the pairs they share."""
    made = planted(0, Habits(), size=6, pairs=60, overlap=3)
    random = np.random.default_rng(0)
    design = made.differences[:, None] + random.normal(size=(60, columns)) if columns else None
    known = None if spread else made.differences / 2
    pairs = Pairs.of(60, spread=spread, design=design, known=known, lengths=made.pairs.lengths)
    point = fit_annotators(made.votes, pairs).point
    nodes = settled_nodes(made.votes, pairs, point)
    size = 24 + columns
    precisions = np.tile(np.eye(4) * 4.0, (6, 1, 1)), np.full(columns, 1.0)

    def slope(values):
        own = point._replace(traits=values[:24].reshape(6, 4), weights=values[24:])
        found = gradient(made.votes, pairs, own, look(made.votes, pairs, own, nodes))
        return np.concatenate([found.traits.ravel(), found.weights])

    start = np.concatenate([point.traits.ravel(), point.weights])
    steps = STEP * np.eye(size)
    curvature = -np.array([(slope(start + s) - slope(start - s)) / (2 * STEP) for s in steps])
    curvature += np.diag(np.concatenate([np.full(24, 4.0), precisions[1]]))
    # Means are N(0, 2^2), of six with precisions of 4: 4^2 / (6 * 4 + 1/4). That of lengths is known.
    for trait in (0, 1, 3):
        curvature[np.ix_(range(trait, 24, 4), range(trait, 24, 4))] -= 16 / 24.25
    wanted = np.linalg.inv(curvature)
    found = covariances(made.votes, pairs, point, look(made.votes, pairs, point, nodes), precisions)
    for k in range(6):
        own = wanted[4 * k : 4 * k + 4, 4 * k : 4 * k + 4]
        assert np.sqrt(np.diag(found[k])) == pytest.approx(np.sqrt(np.diag(own)), rel=0.04)
        assert found[k] == pytest.approx(own, abs=0.03)
        assert found[k] == pytest.approx(found[k].T)


def test_inverses_by_hand_and_no_direction_misses_more_than_most():
    complete = np.array([np.diag([4.0, 2.0, 1.0, 1.0])])
    missing = np.array([np.diag([2.0, 0.0, 2.0, -1.0])])
    found = inverse_less(complete, missing)[0]
    assert found == pytest.approx(np.diag([1 / 2, 1 / 2, 20, 1]))
