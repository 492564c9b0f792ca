"""The fused low-rank layer against the layer as it is written down."""

from functools import partial

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from gnomon.kernels.lora import lora_linear, plain_lora_linear


@pytest.fixture
def problem(device):
    return partial(drawn, device)


def drawn(device, dtype=torch.float64, factors=torch.float64, *, bias=True):
    generator = torch.Generator().manual_seed(0)

    def random(*shape, as_=dtype):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device, as_)

    x = random(2, 3, 6).requires_grad_()
    down, up = random(4, 6, as_=factors).requires_grad_(), random(5, 4, as_=factors).requires_grad_()
    return x, random(5, 6), random(5) if bias else None, down, up, 0.5


def test_worked_numbers(device):
    values = [[1.0, 2.0]], [[3.0, 4.0]], [[1.0, -1.0]], [[10.0]]
    x, weight, down, up = (torch.tensor(value, device=device) for value in values)
    # 1 * 3 + 2 * 4 + 7, and 0.5 * (1 - 2) * 10
    assert lora_linear(x, weight, torch.tensor([7.0], device=device), down, up, 0.5).item() == 13.0


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("dtype", "factors", "tolerance"),
    [
        (torch.float64, torch.float64, 1e-12),
        (torch.float32, torch.float32, 1e-5),
        (torch.bfloat16, torch.float32, 5e-2),
    ],
)
def test_output_and_gradients_are_those_of_the_plain_layer(problem, device, dtype, factors, tolerance, bias):
    ours, theirs = problem(dtype, factors, bias=bias), problem(bias=bias)
    theirs = (*(t if t is None else t.double() for t in theirs[:3]), *theirs[3:])
    got, wanted = lora_linear(*ours), plain_lora_linear(*theirs)
    assert got.dtype == dtype
    assert_close(got, wanted, rtol=tolerance, atol=4 * tolerance, check_dtype=False)
    upstream = torch.linspace(-1, 1, 30, dtype=torch.float64, device=device).view(2, 3, 5)
    got.backward(upstream.to(dtype))
    wanted.backward(upstream)
    for mine, other in ((ours[0], theirs[0]), (ours[3], theirs[3]), (ours[4], theirs[4])):
        assert mine.grad.dtype == mine.dtype
        assert_close(mine.grad, other.grad, rtol=tolerance, atol=4 * tolerance, check_dtype=False)


def test_gradient_equals_finite_differences(problem):
    x, weight, bias, down, up, scale = problem()
    assert gradcheck(lambda *free: lora_linear(free[0], weight, bias, *free[1:], scale), (x, down, up))


def test_an_input_that_needs_no_gradient_is_left_alone(problem):
    x, *rest = problem()
    x = x.detach()
    lora_linear(x, *rest).sum().backward()
    assert x.grad is None
    assert rest[2].grad is not None


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.mistake("adapters-merged-to-sample")
def test_an_update_smaller_than_an_output_s_last_bit_is_there_on_average(problem, device, bias):
    """As first updates are in bfloat16: forwards and backwards, by what of them is in the difference."""
    x, weight, shift, down, up, scale = problem(torch.bfloat16, torch.float32)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(400, 6, generator=generator).to(device, torch.bfloat16).requires_grad_()
    shift = shift if bias else None
    upstream = torch.randn(400, 5, generator=generator).to(device, torch.bfloat16)
    found = []
    for part in (0.0, 5e-4):
        output = lora_linear(x, weight, shift, down, up * part, scale)
        (grad,) = torch.autograd.grad(output, x, upstream)
        found.append((output.detach().double(), grad.double()))
    update = 5e-4 * scale * (up.double() @ down.double()).detach()
    wanted = x.detach().double() @ update.T, upstream.double() @ update
    for before, after, exact in zip(*found, wanted, strict=True):
        share = ((after - before) * exact).sum() / exact.square().sum()
        assert float(share) == pytest.approx(1, abs=0.25)
