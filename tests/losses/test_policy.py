import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from gnomon.kernels.head import Head, plain_logps, weighted_nll
from gnomon.losses.policy import reinforce, reinforce_weights

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
