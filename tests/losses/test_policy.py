import math

import pytest
import torch
from plain_losses import grpo, reinforce
from torch.autograd import gradcheck
from torch.testing import assert_close

from gnomon.kernels.fused import weighted_nll
from gnomon.kernels.head import Head, plain_logps
from gnomon.losses.kl import divergence
from gnomon.losses.policy import clipped, clipped_value, surrogate_weights

KEEP = torch.tensor([[True, True, False], [True, False, False]])
ADVANTAGES = torch.tensor([2.0, -1.0], dtype=torch.float64)


def test_worked_numbers():
    logps = torch.tensor([[-1.0, -2.0, 9.0], [-4.0, 9.0, 9.0]], dtype=torch.float64)
    # -(2 * (-1 - 2) + -1 * -4) / 2
    assert reinforce(logps, ADVANTAGES, KEEP).item() == 1.0


def test_gradient_equals_finite_differences():
    logps = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda values: reinforce(values, ADVANTAGES, KEEP), logps)


def test_a_descent_step_makes_the_better_sample_likelier():
    logps = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    reinforce(logps, ADVANTAGES, KEEP).backward()
    assert_close(logps.grad, -ADVANTAGES[:, None] * KEEP / 2)


def test_the_fused_head_with_its_weights_has_the_same_loss_and_gradient():
    torch.manual_seed(0)
    hidden = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    head = Head(torch.randn(7, 4, dtype=torch.float64))
    targets = torch.randint(7, (2, 3))
    logps = plain_logps(hidden.view(6, 4), head, targets.view(6)).view(2, 3)
    plain = reinforce(logps, ADVANTAGES, KEEP)
    (wanted,) = torch.autograd.grad(plain, hidden)
    zeros, each = torch.zeros(3).double(), ADVANTAGES[:, None].expand(2, 3)[KEEP]
    weights = surrogate_weights(each, zeros, beta=0.0, estimator="k1", divisor=2)
    fused, _ = weighted_nll(hidden[KEEP], head, targets[KEEP], weights)
    (got,) = torch.autograd.grad(fused, hidden)
    assert_close(fused, plain)
    assert_close(got, wanted)


def test_grpo_in_worked_numbers():
    """Every response has its own length as divisor, or all have one."""
    half = math.log(2)
    logps = torch.tensor([[-1.0, -2.0, 9.0], [-4.0, 9.0, 9.0]], dtype=torch.float64)
    ref_logps = logps - torch.tensor([[half, 0.0, 5.0], [0.0, 5.0, 5.0]], dtype=torch.float64)
    penalty = 0.5 * (math.log(2) - 0.5)  # of the one token that is twice as likely as it was
    own = grpo(logps, ref_logps, ADVANTAGES, KEEP, beta=0.5)
    assert own.item() == pytest.approx(-((2.0 + 2.0 - penalty) / 2 - 1.0) / 2)
    constant = grpo(logps, ref_logps, ADVANTAGES, KEEP, beta=0.5, divisor=10)
    assert constant.item() == pytest.approx(-((2.0 + 2.0 - penalty) / 10 - 1.0 / 10) / 2)


def test_grpo_s_gradient_in_worked_numbers():
    """-[A + beta (pi_ref / pi - 1)] / (|y| * rows), by the paper's gradient coefficient."""
    logps = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    ref_logps = torch.zeros(2, 3, dtype=torch.float64)
    ref_logps[0, 1] = math.log(3)
    grpo(logps, ref_logps, ADVANTAGES, KEEP, beta=0.5).backward()
    wanted = torch.tensor([[-2 / 4, -(2 + 0.5 * 2) / 4, 0.0], [1 / 2, 0.0, 0.0]], dtype=torch.float64)
    assert_close(logps.grad, wanted)


@pytest.mark.parametrize("divisor", [None, 5])
def test_the_fused_head_with_grpo_s_weights_has_its_gradient(divisor):
    torch.manual_seed(0)
    hidden = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    head = Head(torch.randn(7, 4, dtype=torch.float64))
    targets = torch.randint(7, (2, 3))
    logps = plain_logps(hidden.view(6, 4), head, targets.view(6)).view(2, 3)
    ref_logps = logps.detach() + torch.randn(2, 3, dtype=torch.float64)
    plain = grpo(logps, ref_logps, ADVANTAGES, KEEP, beta=0.3, divisor=divisor)
    (wanted,) = torch.autograd.grad(plain, hidden)
    ratios = (logps.detach() - ref_logps)[KEEP].split([2, 1])
    weights = [
        surrogate_weights(
            advantage.expand(len(ratio)),
            ratio,
            beta=0.3,
            estimator="k3",
            divisor=2 * (divisor or len(ratio)),
        )
        for advantage, ratio in zip(ADVANTAGES, ratios, strict=True)
    ]
    fused, _ = weighted_nll(hidden[KEEP], head, targets[KEEP], torch.cat(weights))
    (got,) = torch.autograd.grad(fused, hidden)
    assert_close(got, wanted)


ONES, ZEROS = torch.ones(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
MOVED = torch.tensor([1.0, -1.0, 0.1, -0.1], dtype=torch.float64)
"""Log-ratios of new and old policy: ratios e and 1/e are past a clip of 0.2, the others within it."""


def test_a_good_action_stops_paying_past_the_clip_and_a_bad_one_stops_costing():
    new = MOVED.clone().requires_grad_()
    good = clipped(new, ZEROS, ONES, low=0.2, high=0.2)
    ratios = [1.2, math.exp(-1), math.exp(0.1), math.exp(-0.1)]
    assert_close(good, -torch.tensor(ratios, dtype=torch.float64))
    (slopes,) = torch.autograd.grad(good.sum(), new)
    assert_close(slopes, -torch.tensor([0.0, *ratios[1:]], dtype=torch.float64))
    bad = clipped(new, ZEROS, -ONES, low=0.2, high=0.2)
    ratios = [math.e, 0.8, math.exp(0.1), math.exp(-0.1)]
    assert_close(bad, torch.tensor(ratios, dtype=torch.float64))
    (slopes,) = torch.autograd.grad(bad.sum(), new)
    assert_close(slopes, torch.tensor([math.e, 0.0, *ratios[2:]], dtype=torch.float64))


def test_the_clip_may_be_wider_above_than_below():
    found = clipped(MOVED, ZEROS, ONES, low=0.2, high=0.28)
    assert found[0].item() == pytest.approx(-1.28)
    assert clipped(MOVED, ZEROS, -ONES, low=0.2, high=0.28)[1].item() == pytest.approx(0.8)


def test_the_second_clip_bounds_what_a_bad_action_may_cost():
    """A ratio of e^2 = 7.4 counts 3 times and no more; of e, 2.7 times; good ones are not touched."""
    new = torch.tensor([2.0, 1.0, 2.0, -1.0], dtype=torch.float64, requires_grad=True)
    advantages = torch.tensor([-0.5, -0.5, 0.5, -0.5], dtype=torch.float64)
    found = clipped(new, ZEROS, advantages, low=0.2, high=0.2, dual=3.0)
    assert_close(found, torch.tensor([1.5, math.e / 2, -0.6, 0.4], dtype=torch.float64))
    (slopes,) = torch.autograd.grad(found.sum(), new)
    assert_close(slopes, torch.tensor([0.0, math.e / 2, 0.0, 0.0], dtype=torch.float64))


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_before_any_update_the_clipped_loss_with_kl_has_the_gradient_of_the_weights(estimator):
    torch.manual_seed(0)
    logps = torch.randn(5, dtype=torch.float64, requires_grad=True)
    advantages, ref_logps = torch.randn(5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    each = clipped(logps, logps.detach(), advantages, low=0.2, high=0.2, dual=3.0)
    loss = (each + 0.3 * divergence(logps - ref_logps, estimator)).sum() / 7
    (wanted,) = torch.autograd.grad(loss, logps)
    ratios = (logps - ref_logps).detach()
    found = surrogate_weights(advantages, ratios, beta=0.3, estimator=estimator, divisor=7)
    assert_close(-found, wanted)


def test_a_value_that_has_moved_far_enough_learns_no_more():
    """From 0 towards a return of 1: at 0.1 half (0.9)^2; at 0.5 half (1 - 0.2)^2, and flat; beyond the return
    and away from it the plain error is the greater."""
    values = torch.tensor([0.1, 0.5, 1.5, -0.5], dtype=torch.float64, requires_grad=True)
    found = clipped_value(values, ZEROS, ONES, clip=0.2)
    assert_close(found, torch.tensor([0.405, 0.32, 0.32, 1.125], dtype=torch.float64))
    (slopes,) = torch.autograd.grad(found.sum(), values)
    assert_close(slopes, torch.tensor([-0.9, 0.0, 0.0, -1.5], dtype=torch.float64))


def test_without_a_clip_a_value_s_loss_is_half_its_error_squared():
    found = clipped_value(MOVED, ZEROS, ONES, clip=None)
    assert_close(found, (MOVED - 1) ** 2 / 2)
