"""Weights from batch to batch, and what they remember."""

import pytest
import torch
from objectives import build, low
from policies import brief, terms

from gnomon.losses.control import adapted_beta, raised
from gnomon.training.control import Moments


def test_moments_of_batches_are_those_of_all():
    moments, values = Moments(), torch.tensor([3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0])
    for part in values.split([2, 1, 4]):
        moments.add(part)
    assert moments.count == 7
    assert moments.mean == pytest.approx(float(values.mean()))
    assert moments.deviation == pytest.approx(float(values.std(correction=0)))


def test_equal_rewards_are_divided_by_one():
    moments = Moments()
    assert moments.deviation == 1.0
    moments.add(torch.full((4,), 0.5))
    assert moments.deviation == 1.0


def steered():
    limit = {"name": "odd", "at_least": -0.4}
    own = {
        "rewards": [{"source": "model", "name": "low"}, {"source": "model", **limit}],
        "kl": {"target": 2.0, "horizon": 100},
        "scale_rewards": True,
        "multipliers": {"window": 10, "lr": 0.5},
    }
    return build("policy", policy=own, reward=terms((low, {"name": "low"}), (brief, limit))).objective


def test_a_batch_raises_its_multipliers_by_the_window_and_is_weighed_by_them():
    it = steered()
    first, second = it.roll_out(0), it.roll_out(1)
    costs = [-0.4 - value for batch in (first, second) for value in brief(batch.samples)]
    assert [*first.costs[0].tolist(), *second.costs[0].tolist()] == pytest.approx(costs, abs=1e-6)
    weights = it.controls.weights(first)
    expected = raised(0.0, sum(costs[:8]) / 8, lr=0.5, most=5.0)
    assert it.controls.log_lambdas == pytest.approx([expected], abs=1e-6)
    assert weights.lambdas == pytest.approx((torch.tensor(expected).exp().item(),), rel=1e-5)
    it.controls.weights(second)
    assert it.controls.log_lambdas[0] == pytest.approx(
        raised(expected, sum(costs[-10:]) / 10, lr=0.5, most=5.0), abs=1e-6
    )


def test_beta_hears_of_a_batch_after_it_was_paid():
    it = steered()
    rollouts = it.roll_out(0)
    assert it.controls.weights(rollouts).beta == 0.1
    it.controls.follow(torch.full((8,), 3.0))
    assert it.controls.beta == adapted_beta(0.1, 3.0, target=2.0, samples=8, horizon=100)
    assert it.controls.weights(rollouts).beta == it.controls.beta > 0.1


def test_what_is_remembered_goes_on():
    one, other = steered(), steered()
    one.controls.weights(one.roll_out(0))
    one.controls.follow(torch.full((8,), 3.0))
    other.controls.load_state_dict(one.controls.state_dict())
    rollouts = one.roll_out(1)
    assert other.controls.weights(rollouts) == one.controls.weights(rollouts)
    assert other.controls.state_dict() == one.controls.state_dict()


def test_what_cannot_change_is_not_logged():
    plain = build("policy").objective
    assert plain.controls.metrics(plain.controls.weights(plain.roll_out(0))) == {}
    it = steered()
    known = it.controls.metrics(it.controls.weights(it.roll_out(0)))
    assert set(known) == {"multiplier/odd", "kl/beta", "reward/scale"}
