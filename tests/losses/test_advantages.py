import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from gnomon.losses.advantages import best, dr_grpo, equal_rewards, gae, grpo, rloo, token_rewards


@pytest.mark.mistake("tests-that-cannot-fail")
def test_worked_numbers():
    rewards = torch.tensor([[1.0, 2.0, 6.0]])
    # 1 - (2+6)/2, 2 - (1+6)/2, 6 - (1+2)/2
    assert_close(rloo(rewards), torch.tensor([[-3.0, -1.5, 4.5]]))


def test_prompts_do_not_mix():
    rewards = torch.tensor([[0.0, 1.0], [100.0, 102.0]])
    assert_close(rloo(rewards), torch.tensor([[-1.0, 1.0], [-2.0, 2.0]]))


@pytest.mark.parametrize("advantages", [rloo, grpo, dr_grpo, best])
@pytest.mark.parametrize("samples", range(2, 9))
@pytest.mark.mistake("equal-rewards")
def test_equal_rewards_have_no_advantage_at_all(advantages, samples):
    """Exactly: the mean of three times 0.1 is not 0.1 in float32, and (r - mean) / std would be anything."""
    rewards = torch.tensor([0.1, 0.3, -7.7, 1e9])[:, None].expand(4, samples)
    assert torch.equal(advantages(rewards), torch.zeros(4, samples))


@pytest.mark.parametrize("advantages", [rloo, grpo, dr_grpo, best])
def test_a_reward_that_is_no_number_stays_visible_in_its_own_group(advantages):
    found = advantages(torch.tensor([[1.0, math.nan], [1.0, 2.0]]))
    assert found[0].isnan().all()
    assert found[1].isfinite().all()


def test_groups_are_equal_where_every_sample_is():
    rewards = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 2.0], [0.0, 0.0, 0.0]])
    assert equal_rewards(rewards).tolist() == [True, False, True]


@pytest.mark.mistake("tests-that-cannot-fail")
def test_grpo_measures_in_standard_deviations():
    # mean 3; std of (-2, -1, 3) with k - 1 is sqrt(14 / 2)
    wanted = torch.tensor([[-2.0, -1.0, 3.0]]) / math.sqrt(7)
    assert_close(grpo(torch.tensor([[1.0, 2.0, 6.0]])), wanted, rtol=1e-5, atol=1e-6)


def test_grpo_forgets_the_scale_of_each_prompt_and_rloo_does_not():
    rewards = torch.tensor([[0.0, 1.0, 5.0], [0.0, 10.0, 50.0]], dtype=torch.float64)
    assert_close(grpo(rewards)[0], grpo(rewards)[1], rtol=1e-5, atol=1e-5)
    assert_close(rloo(rewards)[1], 10 * rloo(rewards)[0])


def test_grpo_on_rewards_that_nearly_agree_stays_small():
    """Rewards apart by less than 1e-6 do not become advantages of 1."""
    rewards = torch.tensor([[0.0, 1e-8]], dtype=torch.float64)
    assert float(grpo(rewards).abs().max()) < 0.01


@pytest.mark.mistake("tests-that-cannot-fail")
def test_dr_grpo_is_the_distance_from_the_mean():
    assert_close(dr_grpo(torch.tensor([[1.0, 2.0, 6.0]])), torch.tensor([[-2.0, -1.0, 3.0]]))


@given(st.lists(st.floats(-9, 9), min_size=2, max_size=8))
def test_equals_the_distance_from_the_mean_stretched_by_k_over_k_minus_1(values):
    rewards = torch.tensor([values], dtype=torch.float64)
    k = len(values)
    assert_close(rloo(rewards), k / (k - 1) * (rewards - rewards.mean()))
    assert_close(dr_grpo(rewards), (k - 1) / k * rloo(rewards))


def test_the_first_of_the_best_samples_is_kept():
    assert best(torch.tensor([[0.0, 2.0, 2.0], [5.0, 4.0, 3.0]])).tolist() == [[0, 1, 0], [1, 0, 0]]


KEEP = torch.tensor([[True] * 5, [True, True, False, False, False]])
VALUES = torch.tensor([[0.5, 0.4, 0.3, 0.2, 0.1], [1.0, -1.0, 9.0, 9.0, 9.0]], dtype=torch.float64)


@pytest.mark.mistake("score-after-the-end")
def test_each_token_costs_its_kl_and_the_last_one_has_the_score():
    penalties = torch.tensor([[0.1, 0.0, -0.2, 0.0, 0.3], [0.5, 0.25, 7.0, 7.0, 7.0]])
    found = token_rewards(torch.tensor([1.0, -2.0]), penalties, KEEP)
    wanted = [[-0.1, 0.0, 0.2, 0.0, 0.7], [-0.5, -2.25, 0.0, 0.0, 0.0]]
    assert_close(found, torch.tensor(wanted))
    assert_close(found.sum(dim=1), torch.tensor([1.0 - 0.2, -2.0 - 0.75]))  # score less the sum of KL


@pytest.mark.mistake("score-after-the-end")
def test_five_tokens_by_hand():
    """Rewards -0.1, 0, 0.2, 0, 0.7; gamma 1, lambda 1/2.

    delta: -0.1 + 0.4 - 0.5 = -0.2; 0 + 0.3 - 0.4 = -0.1; 0.2 + 0.2 - 0.3 = 0.1; 0 + 0.1 - 0.2 = -0.1;
    0.7 - 0.1 = 0.6. From the end: 0.6; -0.1 + 0.3 = 0.2; 0.1 + 0.1 = 0.2; -0.1 + 0.1 = 0; -0.2 + 0 = -0.2.
    The short row: -2.25 + 1 = -1.25; -0.5 - 1 - 1 - 0.625 = -3.125, and nothing of what its padding holds.
    """
    rewards = torch.tensor([[-0.1, 0.0, 0.2, 0.0, 0.7], [-0.5, -2.25, 7.0, 7.0, 7.0]], dtype=torch.float64)
    found = gae(rewards, VALUES, KEEP, gamma=1.0, lam=0.5)
    wanted = [[-0.2, 0.0, 0.2, 0.2, 0.6], [-3.125, -1.25, 0.0, 0.0, 0.0]]
    assert_close(found, torch.tensor(wanted, dtype=torch.float64))


def test_what_comes_later_is_discounted():
    """gamma 1/2, lambda 1: of a reward of 8 at the end 1, 2, 4, 8 are seen; values cancel but the first."""
    rewards, keep = torch.tensor([[0.0, 0.0, 0.0, 8.0]]), torch.ones(1, 4, dtype=torch.bool)
    values = torch.tensor([[0.5, -3.0, 2.0, 1.0]])
    found = gae(rewards, values, keep, gamma=0.5, lam=1.0)
    assert_close(found, torch.tensor([[1.0, 2.0, 4.0, 8.0]]) - values)


def test_without_values_and_discount_it_is_the_reward_to_go():
    rewards = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
    found = gae(rewards, torch.zeros(2, 5), KEEP, gamma=1.0, lam=1.0)
    assert_close(found, torch.tensor([[15.0, 14.0, 12.0, 9.0, 5.0], [3.0, 2.0, 0.0, 0.0, 0.0]]))
