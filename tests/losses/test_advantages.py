import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from gnomon.losses.advantages import rloo


def test_worked_numbers():
    rewards = torch.tensor([[1.0, 2.0, 6.0]])
    # 1 - (2+6)/2, 2 - (1+6)/2, 6 - (1+2)/2
    assert_close(rloo(rewards), torch.tensor([[-3.0, -1.5, 4.5]]))


def test_prompts_do_not_mix():
    rewards = torch.tensor([[0.0, 1.0], [100.0, 102.0]])
    assert_close(rloo(rewards), torch.tensor([[-1.0, 1.0], [-2.0, 2.0]]))


def test_equal_rewards_have_no_advantage():
    assert_close(rloo(torch.full((2, 4), 0.3)), torch.zeros(2, 4))


@given(st.lists(st.floats(-9, 9), min_size=2, max_size=8))
def test_equals_the_distance_from_the_mean_stretched_by_k_over_k_minus_1(values):
    rewards = torch.tensor([values], dtype=torch.float64)
    k = len(values)
    assert_close(rloo(rewards), k / (k - 1) * (rewards - rewards.mean()))
