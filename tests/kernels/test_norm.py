"""Root-mean-square norms against the way they are written down."""

from functools import partial

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from gnomon.kernels.norm import plain_rms_norm, rms_norm

EPS = 1e-6
both = pytest.mark.parametrize("rounds_first", [True, False])


@pytest.fixture
def problem(device):
    return partial(drawn, device)


def drawn(device, dtype=torch.float64, rows=(5, 3)):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*rows, 16, generator=generator, dtype=torch.float64)
    factor = 1 + 0.3 * torch.randn(16, generator=generator, dtype=torch.float64)
    return x.to(device, dtype).requires_grad_(), factor.to(device, dtype).requires_grad_()


def same(found, wanted):
    """To the bit; on a GPU up to rounding: torch has a kernel of its own there where nothing trains."""
    if found.device.type == "cpu":
        assert torch.equal(found, wanted)
    assert_close(found, wanted)


def test_a_worked_norm(device):
    """The root of the mean square of 3 and 4 is sqrt(12.5)."""
    x, factor, wanted = (
        torch.tensor(value, dtype=torch.float64, device=device)
        for value in ([[3.0, 4.0]], [1.0, 10.0], [[3 / 12.5**0.5, 40 / 12.5**0.5]])
    )
    assert_close(rms_norm(x, factor, 0.0, rounds_first=False), wanted)


@both
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_values_are_the_same_to_the_bit_with_and_without_gradients(problem, dtype, rounds_first):
    x, factor = problem(dtype)
    wanted = plain_rms_norm(x, factor, EPS, rounds_first=rounds_first)
    same(rms_norm(x, factor, EPS, rounds_first=rounds_first), wanted)
    with torch.no_grad():
        same(rms_norm(x, factor, EPS, rounds_first=rounds_first), wanted)


@both
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.bfloat16, 1e-2)])
def test_gradients_are_those_of_autograd(problem, device, dtype, tolerance, rounds_first):
    x, factor = problem(dtype)
    upstream = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    upstream = upstream.to(device, dtype)
    ours = torch.autograd.grad(rms_norm(x, factor, EPS, rounds_first=rounds_first), (x, factor), upstream)
    exact = [tensor.detach().double().requires_grad_() for tensor in (x, factor)]
    plain = plain_rms_norm(*exact, EPS, rounds_first=rounds_first)
    for found, wanted in zip(ours, torch.autograd.grad(plain, exact, upstream.double()), strict=True):
        assert float((found - wanted).norm() / wanted.norm()) < tolerance


@both
def test_gradients_are_those_of_finite_differences(problem, rounds_first):
    assert gradcheck(
        lambda x, factor: rms_norm(x, factor, EPS, rounds_first=rounds_first), problem(rows=(2,))
    )


def test_a_frozen_factor_has_no_gradient(problem):
    x, factor = problem()
    rms_norm(x, factor.detach(), EPS, rounds_first=False).sum().backward()
    assert x.grad is not None
    assert factor.grad is None


@both
def test_only_the_input_is_kept(problem, rounds_first):
    """Nothing of its size in float32, which is what the plain norm keeps."""
    x, factor = problem(torch.bfloat16, rows=(64,))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append((t.dtype, t.shape)) or t, lambda t: t
    ):
        rms_norm(x, factor, EPS, rounds_first=rounds_first)
    assert (torch.float32, x.shape) not in kept
    assert (torch.bfloat16, x.shape) in kept
