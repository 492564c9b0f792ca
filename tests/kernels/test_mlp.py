"""The fused gated layer against the layer as it is written down."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from gnomon.kernels.mlp import ACTIVATIONS, Activation, Adapted, lora_mlp, plain_lora_mlp

WIDTH, INNER = 6, 5
SHAPES = (INNER, WIDTH, 2, 0.5), (INNER, WIDTH, 3, 0.7), (WIDTH, INNER, 1, 1.5)
"""Outer and inner width, rank and scale of gate, up and down."""


def drawn(device, dtype=torch.float64, factors=torch.float64):
    """The input, and the three layers."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape, as_=dtype, trains=True):
        drawn = torch.randn(*shape, generator=generator, dtype=torch.float64).to(device, as_)
        return drawn.requires_grad_(trains)

    x = random(2, 3, WIDTH)
    layers = [
        Adapted(
            random(outer, inner, trains=False),
            random(rank, inner, as_=factors),
            random(outer, rank, as_=factors),
            scale,
        )
        for outer, inner, rank, scale in (
            (INNER, WIDTH, 2, 0.5),
            (INNER, WIDTH, 3, 0.7),
            (WIDTH, INNER, 1, 1.5),
        )
    ]
    return x, layers


def leaves(x, layers):
    return [x, *(factor for layer in layers for factor in (layer.down, layer.up))]


def test_worked_numbers(device):
    """One number wide: gate 3 + 2 * 5 = 13, cut at 10; up 1 - 4 = -3; down (2 + 1) * -30."""
    x = torch.tensor([[1.0]], device=device)

    def layer(weight, down, up, scale):
        return Adapted(*(torch.tensor([[v]], device=device) for v in (weight, down, up)), scale)

    layers = layer(3.0, 2.0, 10.0, 0.5), layer(1.0, -4.0, 1.0, 1.0), layer(2.0, 1.0, 1.0, 1.0)
    assert lora_mlp(x, *layers, Activation(lambda gate: gate.clamp(max=10.0), None)).item() == -90.0


@pytest.mark.parametrize("act", ACTIVATIONS.values(), ids=ACTIVATIONS)
@pytest.mark.parametrize(
    ("dtype", "factors", "tolerance"),
    [
        (torch.float64, torch.float64, 1e-12),
        (torch.float32, torch.float32, 1e-5),
        (torch.bfloat16, torch.float32, 5e-2),
    ],
)
def test_output_and_gradients_are_those_of_the_plain_layer(device, dtype, factors, tolerance, act):
    ours, theirs = drawn(device, dtype, factors), drawn(device)
    with torch.no_grad():  # both from the same numbers, rounded or not
        for mine, other in zip(leaves(*ours), leaves(*theirs), strict=True):
            other.copy_(mine)
        for mine, other in zip(ours[1], theirs[1], strict=True):
            other.weight.copy_(mine.weight)
    got, wanted = lora_mlp(ours[0], *ours[1], act), plain_lora_mlp(theirs[0], *theirs[1], act)
    assert got.dtype == dtype
    upstream = torch.linspace(-1, 1, got.numel(), dtype=torch.float64, device=device).view_as(got)
    got.backward(upstream.to(dtype))
    wanted.backward(upstream)
    pairs = [(got, wanted)]
    for mine, other in zip(leaves(*ours), leaves(*theirs), strict=True):
        assert mine.grad.dtype == mine.dtype
        pairs.append((mine.grad, other.grad))
    for mine, other in pairs:
        assert (mine.double() - other).norm() <= tolerance * other.norm()


@pytest.mark.parametrize("act", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_gradient_equals_finite_differences(device, act):
    x, layers = drawn(device)

    def output(x, *factors):
        own = [
            Adapted(layer.weight, factors[2 * i], factors[2 * i + 1], layer.scale)
            for i, layer in enumerate(layers)
        ]
        return lora_mlp(x, *own, act)

    assert gradcheck(output, leaves(x, layers))


def test_an_input_that_needs_no_gradient_is_left_alone(device):
    x, layers = drawn(device)
    x = x.detach()
    lora_mlp(x, *layers, ACTIVATIONS["silu"]).sum().backward()
    assert x.grad is None
    assert all(factor.grad is not None for factor in leaves(x, layers)[1:])


def test_what_goes_into_the_last_product_is_not_kept(device):
    """The outputs of gate and up are, and the activation's."""
    rows, inner = 64, 128
    generator = torch.Generator().manual_seed(0)

    def layer(outer, width):
        shapes = (outer, width), (2, width), (outer, 2)
        weight, *factors = (torch.randn(*shape, generator=generator).to(device) for shape in shapes)
        return Adapted(weight, *(factor.requires_grad_() for factor in factors), 1.0)

    layers = layer(inner, 8), layer(inner, 8), layer(8, inner)
    x = torch.randn(rows, 8, generator=generator).to(device).requires_grad_()

    def kept(compute):
        held = {}

        def pack(tensor):
            held[tensor.untyped_storage().data_ptr()] = tensor.shape
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            compute(x, *layers, ACTIVATIONS["silu"]).sum()
        return sum(shape == (rows, inner) for shape in held.values())

    assert kept(lora_mlp) == 3
    assert kept(plain_lora_mlp) == 4


@pytest.mark.parametrize("shape", [(WIDTH,), (3, WIDTH), (2, 2, 2, WIDTH)])
def test_any_rows(device, shape):
    _, layers = drawn(device)
    x = torch.linspace(-1, 1, torch.Size(shape).numel(), dtype=torch.float64, device=device).view(shape)
    act = ACTIVATIONS["gelu_tanh"]
    assert_close(lora_mlp(x, *layers, act), plain_lora_mlp(x, *layers, act))
