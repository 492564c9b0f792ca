"""Weights laid out once multiply as they do every time."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from gnomon.kernels.packed import added, linear, packs

DTYPES = [torch.float64, torch.float32, torch.bfloat16]


@pytest.fixture
def drawn(device):
    def draw(*shape, dtype):
        generator = torch.Generator().manual_seed(len(shape))
        return torch.randn(*shape, generator=generator).to(device, dtype)

    return draw


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 40), (33, 40), (3, 7, 40)], ids=str)
@pytest.mark.parametrize("biased", [False, True])
def test_the_product_is_that_of_a_linear_layer(drawn, dtype, shape, biased):
    weight, bias = drawn(24, 40, dtype=dtype), drawn(24, dtype=dtype) if biased else None
    x = drawn(*shape, dtype=dtype)
    close = {"rtol": 2**-7, "atol": 2**-7} if dtype == torch.bfloat16 else {"rtol": 1e-6, "atol": 1e-6}
    assert_close(linear(weight, bias)(x), functional.linear(x, weight, bias), **close)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 33])
def test_what_is_added_to_a_product_is_rounded_with_it_once(drawn, dtype, rows):
    weight, x, y = (drawn(*shape, dtype=dtype) for shape in ((24, 40), (rows, 40), (1, rows, 24)))
    exact = y[0].double() + x.double() @ weight.double().T
    digits = {torch.float64: 2**-46, torch.float32: 2**-20, torch.bfloat16: 2**-8}[dtype]
    assert_close(added(weight)(x, y[0]).double(), exact, rtol=1.01 * digits, atol=2**-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_is_differentiated(drawn, dtype):
    weight = drawn(24, 40, dtype=dtype).requires_grad_()
    x, y = drawn(2, 40, dtype=dtype), drawn(2, 24, dtype=dtype)
    assert not linear(weight)(x).requires_grad
    assert not added(weight)(x, y).requires_grad


def test_only_bfloat16_on_a_processor_is_laid_out():
    assert not packs(torch.empty(2, 2, dtype=torch.float32))
    assert not packs(torch.empty(2, 2, dtype=torch.bfloat16, device="meta"))
