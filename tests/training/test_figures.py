"""What is logged of a batch, by numbers that can be added up by hand."""

import math
from dataclasses import replace

import pytest
from rolled import SCORES, rollouts

from gnomon.rewards.combine import Said, Terms
from gnomon.rewards.told import Told
from gnomon.settings.policy import PolicySettings
from gnomon.training.figures import by_prompt, figures, log_lengths

SETTINGS = PolicySettings(samples=2, optim={"batch_size": 4}, score_bound=None)


def logged(it, length=0.0):
    return figures(it, Terms.of(lambda samples: SCORES), SETTINGS, length)


def test_figures_of_each_prompt_are_means_of_its_samples():
    found = by_prompt(rollouts(), 2)
    assert found["proxy"] == {"a": 2.0, "b": -0.5}
    assert found["second"] == {"a": 1.5, "b": 4.0}
    assert found["spread"] == pytest.approx({"a": 0.2, "b": 0.6})
    assert found["length"] == {"a": 3.0, "b": 2.0}
    assert found["ends"] == {"a": 1.0, "b": 0.5}
    assert found["entropy"] == {"a": 0.5, "b": 0.5}
    assert found["kl"] == {"a": 0.75, "b": 0.5}
    assert found["distinct"] == {"a": 0.5, "b": 1.0}  # 56 65 56 56; 78 89
    assert found["agreement"] == pytest.approx({"a": 1.0, "b": 1.0})


def test_a_prompt_whose_samples_are_scored_alike_tells_of_no_agreement():
    assert by_prompt(rollouts(second=(1.0, 1.0, 3.0, 5.0)), 2)["agreement"] == pytest.approx({"b": 1.0})


def test_a_prompt_that_comes_twice_is_one():
    assert by_prompt(rollouts(ids=("a",) * 4), 2)["length"] == {"a": 2.5}


def test_what_there_is_not_is_left_out():
    found = by_prompt(rollouts(spreads=(None,) * 4, second=None), 2)
    assert {"second", "spread", "agreement"}.isdisjoint(found)
    assert {"reward/second", "reward/spread", "checks"}.isdisjoint(
        logged(rollouts(spreads=(None,) * 4, second=None))
    )


def test_what_is_logged_is_over_all_samples():
    found = logged(rollouts())
    assert found["reward/second"] == 2.75
    assert found["reward/spread"] == pytest.approx(0.4)
    assert found["distinct/2"] == 0.75
    assert found["length/tokens"] == 2.5
    assert found["ends_turn"] == 0.75
    assert found["entropy/sampled"] == 0.5


def test_the_share_of_verdicts_that_cannot_be_read_is_logged_where_there_are_any():
    it = rollouts()
    assert "unreadable/model" not in logged(it)
    drawn = [
        each._replace(said=Said((Told(0.0, read=2, unread=("Hm.",) * k),))) for k, each in enumerate(it.drawn)
    ]
    assert logged(replace(it, drawn=drawn))["unreadable/model"] == pytest.approx(6 / 14)


def test_the_reward_at_a_length_is_what_it_would_be_were_all_as_long():
    """Within prompts: scores 1 and 3 beside lengths 4 and 2, -1 and 0 beside 3 and 1."""
    first, other = math.log(5 / 3), math.log(4 / 2)  # each pair is half of this away from its mean
    slope = (first / 2 * -1 * 2 + other / 2 * -0.5 * 2) / (first**2 / 2 + other**2 / 2)
    it = rollouts()
    mean = float(log_lengths(it).mean())
    assert mean == pytest.approx((math.log(5) + math.log(3) + math.log(4) + math.log(2)) / 4)
    assert logged(it, mean)["reward/fixed_length"] == pytest.approx(0.75)
    assert logged(it, mean - 1)["reward/fixed_length"] == pytest.approx(0.75 - slope)
