import itertools
import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from gnomon.losses.reward import (
    bradley_terry,
    centring,
    less_lead,
    mean_variance,
    plackett_luce,
    smoothed,
)

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


def test_a_lead_is_asked_for_before_a_pair_is_won():
    # -ln(1 / (1 + e^-(2 - 0.5))), Llama 2's with m = 0.5; the second answer the better, the same
    led = less_lead(pairs(2.0, -2.0), pairs(1.0, 0.0), pairs(0.5, 0.5))
    assert_close(led, pairs(1.5, -1.5))
    losses = bradley_terry(led, pairs(1.0, 0.0))
    assert_close(losses, pairs(*[math.log(1 + math.exp(-1.5))] * 2))


def test_as_sure_as_a_label_is_so_much_of_the_lead_is_asked_for():
    assert_close(less_lead(pairs(2.0, 2.0), pairs(0.5, 0.75), pairs(4.0, 4.0)), pairs(2.0, 0.0))
    margin = pairs(4.0 * 0.5 + math.log(3)).requires_grad_()
    bradley_terry(less_lead(margin, pairs(0.75), pairs(4.0)), pairs(0.75)).sum().backward()
    assert margin.grad.item() == pytest.approx(0.0, abs=1e-12)


def test_scores_with_a_variance_are_compared_by_the_normal_distribution():
    # z = 3 / sqrt(4) = 1.5, F(1.5) = 0.9331928; z = -1, F(-1) = 0.1586553
    losses = mean_variance(pairs(3.0, -1.0), pairs(4.0, 1.0), SURE.expand(2))
    assert_close(losses, pairs(-math.log(0.9331927987), -math.log(0.1586552539)))


def test_swapping_answers_of_a_variance_changes_nothing():
    assert_close(
        mean_variance(pairs(1.3), pairs(2.0), pairs(0.8)), mean_variance(pairs(-1.3), pairs(2.0), pairs(0.2))
    )


def test_only_the_ratio_of_mean_and_deviation_is_told():
    assert_close(
        mean_variance(pairs(1.0), pairs(2.0), pairs(0.7)), mean_variance(pairs(3.0), pairs(18.0), pairs(0.7))
    )


def test_a_label_that_is_undecided_widens_scores_that_lie_apart():
    variance = pairs(1.0).requires_grad_()
    mean_variance(pairs(2.0), variance, pairs(0.5)).sum().backward()
    assert variance.grad.item() < 0


def test_the_gradient_of_mean_and_variance_equals_finite_differences():
    margin, variance = (
        pairs(-30.0, -1.0, 0.2, 5.0).requires_grad_(),
        pairs(1.0, 0.3, 2.0, 1.5).requires_grad_(),
    )
    assert gradcheck(lambda m, v: mean_variance(m, v, pairs(1.0, 0.5, 0.9, 0.0)), (margin, variance))


def order(scores, ranks, present=None):
    ranks = torch.tensor([ranks])
    there = torch.ones_like(ranks, dtype=torch.bool) if present is None else torch.tensor([present])
    return plackett_luce(torch.as_tensor(scores, dtype=torch.float64)[None], ranks, there)


def test_an_order_is_chosen_from_the_best_down():
    # exp(s) = 1, 2, 3; the third is the best, then the first: 3/6 * 1/3
    scores = [0.0, math.log(2), math.log(3)]
    assert_close(order(scores, [2, 3, 1]), pairs(-math.log(3 / 6 * 1 / 3)))


def test_the_chances_of_all_orders_add_up_to_one():
    ranks = list(itertools.permutations([1, 2, 3, 4]))
    chances = [math.exp(-order([0.3, -1.2, 2.0, 0.1], list(own)).item()) for own in ranks]
    assert sum(chances) == pytest.approx(1.0)
    assert len(set(chances)) == 24


def test_an_order_of_two_is_a_pair():
    assert_close(order([1.3, 0.4], [1, 2]), bradley_terry(pairs(0.9), SURE))


def test_answers_that_share_a_rank_are_best_at_equal_scores():
    # both chosen while both are left: 2 ln(e^a + e^b) - a - b, then nothing is left but the third
    assert_close(order([0.0, 0.0, -1.0], [1, 1, 3]), pairs(2 * math.log(2 + math.exp(-1))))
    scores = torch.tensor([0.4, 0.4, -1.0], dtype=torch.float64, requires_grad=True)
    order(scores, [1, 1, 3]).sum().backward()
    assert scores.grad[0] == scores.grad[1]
    tied = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    order(tied, [1, 1]).sum().backward()
    assert tied.grad.tolist() == [0.0, 0.0]


def test_what_fills_a_shorter_ranking_changes_neither_value_nor_gradient():
    short = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    filled = torch.tensor([0.3, -0.2, 9.0, -9.0], dtype=torch.float64, requires_grad=True)
    one, other = order(short, [2, 1]), order(filled, [2, 1, 0, 0], [True, True, False, False])
    assert_close(one, other)
    one.sum().backward()
    other.sum().backward()
    assert_close(filled.grad, torch.cat([short.grad, torch.zeros(2, dtype=torch.float64)]))


def test_the_gradient_of_an_order_equals_finite_differences():
    scores = torch.tensor([[0.3, -1.2, 2.0, 0.1], [0.5, 0.2, 0.0, 0.0]], dtype=torch.float64)
    ranks = torch.tensor([[2, 4, 1, 2], [1, 2, 0, 0]])
    present = torch.tensor([[True] * 4, [True, True, False, False]])
    assert gradcheck(lambda s: plackett_luce(s, ranks, present), scores.requires_grad_())
