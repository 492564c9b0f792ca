import math

import pytest
import torch
from torch import nn

from gnomon.settings.base import OptimSettings
from gnomon.training.optim import adamw, learning_rate


def rates(schedule, steps=10, warmup=0.2):
    settings = OptimSettings(lr=1.0, schedule=schedule, warmup=warmup)
    return [learning_rate(step, steps, settings) for step in range(steps)]


def test_warm_up_rises_in_equal_parts_and_never_starts_at_zero():
    """Two of ten steps: a third, two thirds, then the peak."""
    for schedule in ("constant", "linear", "cosine"):
        assert rates(schedule)[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_constant():
    assert rates("constant")[2:] == [1.0] * 8


def test_linear_reaches_zero_after_the_last_step():
    assert rates("linear")[2:] == pytest.approx([1 - k / 8 for k in range(8)])


def test_cosine_goes_down_to_a_tenth():
    down = rates("cosine")[2:]
    assert down[4] == pytest.approx(0.55)  # half way
    assert down[2] == pytest.approx(0.1 + 0.45 * (1 + math.sqrt(0.5)))
    assert down == sorted(down, reverse=True)
    assert 0.1 < down[-1] < 0.15


def test_no_warm_up_starts_at_the_peak():
    assert rates("linear", warmup=0.0)[0] == 1.0


def test_one_step_alone():
    assert rates("cosine", steps=1, warmup=0.0) == [1.0]
    assert rates("cosine", steps=1) == [0.5]


def test_only_matrices_decay_and_only_what_trains_is_optimised():
    layer, frozen = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(requires_grad=False)
    settings = OptimSettings(lr=0.1, weight_decay=0.5, betas=(0.8, 0.95), eps=1e-5)
    optimizer = adamw([*layer.parameters(), *frozen.parameters()], settings)
    groups = [(group["params"], group["weight_decay"]) for group in optimizer.param_groups]
    assert groups == [([layer.weight], 0.5), ([layer.bias], 0.0)]
    assert all((g["lr"], g["betas"], g["eps"]) == (0.1, (0.8, 0.95), 1e-5) for g in optimizer.param_groups)


def test_a_module_without_vectors_has_one_group():
    optimizer = adamw(nn.Linear(2, 2, bias=False).parameters(), OptimSettings())
    assert len(optimizer.param_groups) == 1


def test_a_first_step_moves_by_the_learning_rate():
    parameter = nn.Parameter(torch.tensor([1.0, 1.0]))
    parameter.grad = torch.tensor([3.0, -0.01])
    adamw([parameter], OptimSettings(lr=0.1)).step()
    torch.testing.assert_close(parameter.detach(), torch.tensor([0.9, 1.1]), atol=1e-5, rtol=0)


def test_weights_apart_have_settings_of_their_own():
    """The first step of Adam is the rate, whatever the gradient; decay comes before it."""
    one, other = (torch.nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    apart = OptimSettings(lr=0.25, weight_decay=0.5, betas=(0.5, 0.5), eps=1e-3)
    optimizer = adamw([one], OptimSettings(lr=0.1), ([other], apart))
    one.grad, other.grad = torch.ones(2, 2), torch.ones(2, 2)
    optimizer.step()
    assert torch.allclose(one, torch.full((2, 2), 0.9))
    assert torch.allclose(other, torch.full((2, 2), 1 - 0.125 - 0.25 / 1.001))
    assert [group["part"] for group in optimizer.param_groups] == [0, 1]
