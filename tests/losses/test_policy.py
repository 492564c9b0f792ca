import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from gnomon.kernels.fused import weighted_nll
from gnomon.kernels.head import Head, plain_logps
from gnomon.losses.policy import grpo, grpo_weights, reinforce, reinforce_weights

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
    weights = reinforce_weights(ADVANTAGES, 2)[:, None].expand(2, 3)[KEEP]
    fused, _ = weighted_nll(hidden[KEEP], head, targets[KEEP], weights)
    (got,) = torch.autograd.grad(fused, hidden)
    assert_close(fused, plain)
    assert_close(got, wanted)


def test_weights_are_advantages_over_the_rows_of_the_whole_step():
    assert_close(reinforce_weights(ADVANTAGES, 8), torch.tensor([0.25, -0.125], dtype=torch.float64))


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
        grpo_weights(advantage, ratio, beta=0.3, divisor=2 * (divisor or len(ratio)))
        for advantage, ratio in zip(ADVANTAGES.tolist(), ratios, strict=True)
    ]
    fused, _ = weighted_nll(hidden[KEEP], head, targets[KEEP], torch.cat(weights))
    (got,) = torch.autograd.grad(fused, hidden)
    assert_close(got, wanted)
