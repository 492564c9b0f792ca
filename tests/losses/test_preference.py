import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from gnomon.losses.preference import PairLogps, dpo
from gnomon.losses.reward import smoothed


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def pair(first, second, ref_first, ref_second):
    return PairLogps(numbers(first), numbers(second), numbers(ref_first), numbers(ref_second))


SURE = numbers(1.0)
WORKED = pair(-10.0, -14.0, -12.0, -11.0)
"""Log-ratios 2 and -3, so a margin of 5 nats."""


def test_log_ratios_are_to_the_reference_and_the_margin_is_their_difference():
    assert_close(WORKED.first_ratio, numbers(2.0))
    assert_close(WORKED.second_ratio, numbers(-3.0))
    assert_close(WORKED.margin, numbers(5.0))


def test_worked_numbers():
    # -ln(1 / (1 + e^-(0.2 * 5))), and -ln(1 / (1 + e^1)) where the second is the better
    assert_close(dpo(WORKED, SURE, beta=0.2), numbers(math.log(1 + math.exp(-1))))
    assert_close(dpo(WORKED, 1 - SURE, beta=0.2), numbers(math.log(1 + math.e)))


def test_a_policy_that_is_its_reference_pays_ln_2_whatever_the_answers():
    same = pair(-3.0, -700.0, -3.0, -700.0)
    assert_close(dpo(same, SURE, beta=0.1), numbers(math.log(2)))
    assert_close(dpo(same, numbers(0.3), beta=0.1), numbers(math.log(2)))


def test_the_gradient_is_beta_times_how_wrong_the_implicit_reward_is():
    """Eq. 7's gradient: -beta * s(-d) on the chosen answer, the same with the other sign on the rejected."""
    first, second = numbers(-10.0).requires_grad_(), numbers(-14.0).requires_grad_()
    dpo(PairLogps(first, second, numbers(-12.0), numbers(-11.0)), SURE, beta=0.2).backward()
    wanted = 0.2 / (1 + math.e)
    assert first.grad.item() == pytest.approx(-wanted)
    assert second.grad.item() == pytest.approx(wanted)


def test_a_soft_label_is_the_mean_of_both_verdicts():
    sure, opposite = dpo(WORKED, SURE, beta=0.2), dpo(WORKED, 1 - SURE, beta=0.2)
    assert_close(dpo(WORKED, numbers(0.75), beta=0.2), 0.75 * sure + 0.25 * opposite)


def test_a_smoothed_label_is_met_at_its_log_odds_and_no_further():
    """Conservative DPO: with a tenth of the labels flipped the margin stops at ln 9 / beta."""
    first = numbers(math.log(9) / 0.2).requires_grad_()
    zero = numbers(0.0)
    dpo(PairLogps(first, zero, zero, zero), smoothed(SURE, 0.1), beta=0.2).backward()
    assert first.grad.item() == pytest.approx(0.0, abs=1e-12)


def test_swapping_answers_and_label_changes_nothing():
    swapped = PairLogps(WORKED.second, WORKED.first, WORKED.ref_second, WORKED.ref_first)
    assert_close(dpo(swapped, numbers(0.2), beta=0.3), dpo(WORKED, numbers(0.8), beta=0.3))


def test_what_both_answers_gain_alike_changes_nothing():
    """The log-prob of the prompt, or of an earlier turn, would cancel."""
    more = PairLogps(WORKED.first + 7, WORKED.second + 7, WORKED.ref_first, WORKED.ref_second)
    assert_close(dpo(more, SURE, beta=0.2), dpo(WORKED, SURE, beta=0.2))


def test_an_enormous_margin_is_finite():
    assert_close(dpo(pair(0.0, -1e5, 0.0, 0.0), 1 - SURE, beta=0.1), numbers(1e4))


def test_gradient_equals_finite_differences():
    logps = [torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    ref = [torch.randn(4, dtype=torch.float64) for _ in range(2)]
    labels = numbers(1.0, 0.5, 0.9, 0.0)
    assert gradcheck(lambda *own: dpo(PairLogps(*own, *ref), labels, beta=0.7), logps)
