import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from gnomon.losses.reward import bradley_terry, centring, smoothed

SURE = torch.ones(1, dtype=torch.float64)


def pairs(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_no_margin_costs_ln_2():
    assert_close(bradley_terry(pairs(0.0), SURE), pairs(math.log(2)))


def test_worked_numbers():
    # -ln(1 / (1 + e^-2)) where the first is better, -ln(1 / (1 + e^2)) where the second is
    losses = bradley_terry(pairs(2.0, 2.0), pairs(1.0, 0.0))
    assert_close(losses, pairs(math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))))


def test_a_soft_label_is_the_mean_of_both_verdicts():
    both = bradley_terry(pairs(2.0, 2.0), pairs(1.0, 0.0))
    assert_close(bradley_terry(pairs(2.0), pairs(0.75)), 0.75 * both[:1] + 0.25 * both[1:])


def test_a_soft_label_is_met_at_its_own_log_odds():
    margin = pairs(math.log(3)).requires_grad_()
    bradley_terry(margin, pairs(0.75)).sum().backward()
    assert margin.grad.item() == pytest.approx(0.0, abs=1e-12)


def test_swapping_answers_and_label_changes_nothing():
    assert_close(bradley_terry(pairs(1.3), pairs(0.8)), bradley_terry(pairs(-1.3), pairs(0.2)))


def test_an_enormous_margin_is_finite():
    assert_close(bradley_terry(pairs(1e4, -1e4), pairs(1.0, 1.0)), pairs(0.0, 1e4))


def test_gradient_equals_finite_differences():
    margin = pairs(-3.0, 0.0, 0.4, 5.0).requires_grad_()
    assert gradcheck(lambda m: bradley_terry(m, pairs(1.0, 0.5, 0.9, 0.0)), margin)


def test_smoothing_mixes_in_the_flipped_label():
    assert_close(smoothed(pairs(1.0, 0.0, 0.5, 0.75), 0.1), pairs(0.9, 0.1, 0.5, 0.7))


def test_no_smoothing_leaves_labels_as_they_are():
    assert_close(smoothed(pairs(1.0, 0.3), 0.0), pairs(1.0, 0.3))


def test_centring_punishes_the_sum_not_the_margin():
    assert_close(centring(pairs(3.0, 3.0), pairs(-3.0, -1.0)), pairs(0.0, 4.0))
    scores = pairs(0.7, -2.0).requires_grad_()
    assert gradcheck(lambda first: centring(first, pairs(0.1, 0.2)), scores)
