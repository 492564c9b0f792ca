import math

import pytest
import torch
from torch.testing import assert_close

from gnomon.losses.control import adapted_beta, constrained, raised


@pytest.mark.parametrize(
    ("kl", "wanted"),
    [
        (6.0, 0.05),  # at the target
        (6.6, 0.05 * (1 + 0.1 * 64 / 10_000)),
        (60.0, 0.05 * (1 + 0.2 * 64 / 10_000)),  # clipped above
        (-3.0, 0.05 * (1 - 0.2 * 64 / 10_000)),  # and below
    ],
)
def test_beta_follows_kl_by_so_much(kl, wanted):
    assert adapted_beta(0.05, kl, target=6.0, samples=64, horizon=10_000) == pytest.approx(wanted, rel=1e-12)


def test_advantages_less_costs_over_one_plus_lambda():
    reward, cost = torch.tensor([3.0, -1.0]), torch.tensor([1.0, -2.0])
    assert_close(constrained(reward, [cost], [2.0]), torch.tensor([1 / 3, 1.0]))
    both = constrained(reward, [cost, 2 * cost], [2.0, 0.5])
    assert_close(both, torch.tensor([(3 - 2 - 1) / 3.5, (-1 + 4 + 2) / 3.5]))
    assert torch.equal(constrained(reward, [], []), reward)


def test_kl_weighs_the_same_whatever_the_multiplier_is():
    """-beta KL in the reward, +beta KL in the cost."""
    score, cost, kl = torch.tensor([1.0]), torch.tensor([0.5]), torch.tensor([2.0])
    for weight in (0.0, 1.0, 4.0):
        found = constrained(score - 0.1 * kl, [cost + 0.1 * kl], [weight])
        assert_close(found, (score - weight * cost) / (1 + weight) - 0.1 * kl)


def test_a_multiplier_grows_while_its_constraint_is_broken_and_shrinks_while_it_is_kept():
    assert raised(0.0, 0.5, lr=0.1, most=5.0) == pytest.approx(0.05)
    assert raised(math.log(2), -0.5, lr=0.1, most=5.0) == pytest.approx(math.log(2) - 0.1)
    assert raised(math.log(4.9), 10.0, lr=0.1, most=5.0) == math.log(5)
