import math

import pytest
import torch
from torch.testing import assert_close

from gnomon.losses.preference import PairLogps, dpo
from gnomon.losses.reference_free import cpo, odds_ratio, preferred_nll, simpo, slic


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def pair(first, second, tokens=(4, 7)):
    """Without a reference, by the log-probs of both answers."""
    counts = (torch.tensor([count]) for count in tokens)
    return PairLogps(first, second, torch.zeros_like(first), torch.zeros_like(second), *counts)


SURE = numbers(1.0)
WORKED = pair(numbers(-10.0), numbers(-14.0))
"""4 nats between the answers, 2.5 and 2 nats a token."""


def test_cross_entropy_is_a_token_s_mean_of_the_better_answer():
    assert_close(preferred_nll(WORKED, SURE), numbers(10 / 4))
    assert_close(preferred_nll(WORKED, 1 - SURE), numbers(14 / 7))
    assert_close(preferred_nll(WORKED, numbers(0.25)), numbers(0.25 * 2.5 + 0.75 * 2))


def test_slic_worked_numbers():
    # 5 - 4, 5 + 4, and enough at 4 nats
    assert_close(slic(WORKED, SURE, delta=5.0), numbers(1.0))
    assert_close(slic(WORKED, 1 - SURE, delta=5.0), numbers(9.0))
    assert_close(slic(WORKED, SURE, delta=3.0), numbers(0.0))


def test_cpo_is_dpo_with_a_reference_that_finds_all_answers_alike():
    assert_close(cpo(WORKED, SURE, beta=0.5), numbers(math.log(1 + math.exp(-2))))
    assert_close(cpo(WORKED, numbers(0.3), beta=0.5), dpo(WORKED, numbers(0.3), beta=0.5))


def test_simpo_worked_numbers():
    # 2 * (-2.5 + 2) - 0.5 = -1.5; where the second is the better 2 * (-2 + 2.5) - 0.5 = 0.5
    assert_close(simpo(WORKED, SURE, beta=2.0, gamma=0.5), numbers(math.log(1 + math.exp(1.5))))
    assert_close(simpo(WORKED, 1 - SURE, beta=2.0, gamma=0.5), numbers(math.log(1 + math.exp(-0.5))))


def test_simpo_weighs_a_token_of_a_long_answer_less():
    first, second = numbers(-10.0).requires_grad_(), numbers(-14.0).requires_grad_()
    simpo(pair(first, second), SURE, beta=2.0, gamma=0.5).backward()
    wrong = 1 / (1 + math.exp(-1.5))
    assert first.grad.item() == pytest.approx(-wrong * 2 / 4)
    assert second.grad.item() == pytest.approx(wrong * 2 / 7)


def test_odds_ratio_worked_numbers():
    # a token's probability is 1/2 and 1/5, odds 1 and 1/4: s(ln 4) = 4/5
    even = pair(numbers(4 * math.log(1 / 2)), numbers(7 * math.log(1 / 5)))
    assert_close(odds_ratio(even, SURE, odds_weight=0.1), numbers(0.1 * math.log(5 / 4)))
    assert_close(odds_ratio(even, 1 - SURE, odds_weight=0.1), numbers(0.1 * math.log(5)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_answer_that_is_certain_has_finite_odds(dtype):
    """Rounding may take its log-prob to 0, or above."""
    for certain in (0.0, 1e-6):
        first = torch.tensor([certain], dtype=dtype, requires_grad=True)
        second = torch.tensor([-1e4], dtype=dtype, requires_grad=True)
        loss = odds_ratio(pair(first, second), torch.tensor([0.9], dtype=dtype), odds_weight=0.1)
        loss.backward()
        assert all(bool(value.isfinite()) for value in (loss, first.grad, second.grad))
