"""Cross-entropy to a teacher's distribution, fused, against log_softmax under autograd."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from gnomon.kernels import fused
from gnomon.kernels.fused import head_pass, soft_nll, weighted_nll
from gnomon.kernels.head import Head, SoftTargets, certain, plain_soft_nll

ROWS, WIDTH, VOCABULARY = 20, 6, 33
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 3e-2}
LAYERS = {
    "plain": {},
    "all": {"bias": torch.linspace(-1, 1, VOCABULARY), "scale": 0.5, "softcap": 3.0},
}


@pytest.fixture(params=[64, 1 << 20], ids=["five parts", "one part"], autouse=True)
def tiles(request, monkeypatch):
    """Tiles of eight rows, and the vocabulary of these tests in parts, and as a whole."""
    monkeypatch.setattr(fused, "ROWS", 8)
    for held in ("HELD", "HELD_ON_DEVICE"):
        monkeypatch.setattr(fused, held, request.param)


@pytest.fixture
def problem(device):
    return partial(drawn, device)


def drawn(device, dtype=torch.float64, layer="plain", *, kind="top", trains=True):
    """A head in tiles of 8 rows, hidden states, a teacher's distributions, and weights of both signs."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device, dtype)

    more = {
        k: v.to(device, dtype, copy=True).requires_grad_(trains) if isinstance(v, torch.Tensor) else v
        for k, v in LAYERS[layer].items()
    }
    head = Head(random(VOCABULARY, WIDTH).requires_grad_(trains), tile_bytes=1, **more)
    hidden, weights = random(ROWS, WIDTH).requires_grad_(), random(ROWS)
    probs = torch.softmax(2 * random(ROWS, VOCABULARY).float(), dim=-1)
    top = probs.topk(5)
    targets = SoftTargets(probs) if kind == "dense" else SoftTargets(top.values, top.indices)
    return hidden, head, targets, weights


def reference(hidden, head, targets, weights, temperature):
    """The whole distribution written out, 0 where nothing is known, in float64."""
    own = [own for own in (hidden, head.weight, head.bias) if own is not None]
    own = [tensor.detach().double().requires_grad_() for tensor in own]
    logits = torch.nn.functional.linear(*own) * head.scale
    if head.softcap is not None:
        logits = head.softcap * torch.tanh(logits / head.softcap)
    probs = targets.probs.double()
    if targets.ids is not None:
        probs = torch.zeros_like(logits).scatter(1, targets.ids, probs)
    each = -(probs * torch.log_softmax(logits / temperature, dim=-1)).sum(dim=1)
    loss = (weights.double() * each).sum()
    return loss, each, *torch.autograd.grad(loss, own)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("kind", ["top", "dense"])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_loss_and_gradients_are_those_of_the_plain_head(problem, dtype, kind, layer, temperature):
    hidden, head, targets, weights = problem(dtype, layer, kind=kind)
    loss, each = soft_nll(hidden, head, targets, weights, temperature)
    (3.0 * loss).backward()
    wanted = reference(hidden, head, targets, weights, temperature)
    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype] * 5, "check_dtype": False}
    assert_close(loss, wanted[0], **close)
    assert_close(each, wanted[1], **close)
    assert_close(hidden.grad / 3, wanted[2], **close)
    assert_close(head.weight.grad / 3, wanted[3], **close)
    assert float(wanted[2].abs().max()) > 0.1
    assert hidden.grad.dtype == head.weight.grad.dtype == dtype
    if head.bias is not None:
        assert_close(head.bias.grad / 3, wanted[4], **close)
        assert head.bias.grad.dtype == dtype


@pytest.mark.parametrize("kind", ["top", "dense"])
def test_the_plain_loss_is_the_same(problem, kind):
    hidden, head, targets, weights = problem(layer="all", kind=kind)
    loss = plain_soft_nll(hidden, head, targets, weights, 0.7)
    wanted = reference(hidden, head, targets, weights, 0.7)
    assert_close(loss, wanted[0])
    assert_close(torch.autograd.grad(loss, hidden)[0], wanted[2])


def test_gradient_equals_finite_differences(problem):
    hidden, head, targets, weights = problem(layer="all")

    def loss(rows, matrix, shift):
        return soft_nll(rows, replace(head, weight=matrix, bias=shift), targets, weights, 0.8)[0]

    assert gradcheck(loss, (hidden, head.weight, head.bias))


def test_one_certain_word_is_a_label_bit_by_bit(problem, device):
    hidden, head, _, weights = problem(torch.float32)
    labels = torch.arange(ROWS, device=device)
    loss, logps = weighted_nll(hidden, head, labels, weights)
    dense = torch.nn.functional.one_hot(labels, VOCABULARY).float()
    for targets in (certain(labels), SoftTargets(torch.ones(ROWS, 1, device=device), labels[:, None])):
        soft, each = soft_nll(hidden, head, targets, weights)
        assert soft.item() == loss.item()
        assert torch.equal(each, -logps)
    assert_close(soft_nll(hidden, head, SoftTargets(dense), weights)[0], loss)


def test_a_word_named_twice_counts_twice_and_a_row_of_which_nothing_is_known_not_at_all(problem, device):
    hidden, head, _, weights = problem()
    one, two = (
        SoftTargets(*(torch.tensor([each] * ROWS, device=device) for each in (probs, ids)))
        for probs, ids in (([0.75, 0.0], [4, 9]), ([0.25, 0.5], [4, 4]))
    )
    assert_close(soft_nll(hidden, head, two, weights)[0], soft_nll(hidden, head, one, weights)[0])
    known = torch.ones(ROWS, 1, device=device)
    known[3:] = 0.0
    done = head_pass(hidden, head, SoftTargets(known, torch.zeros_like(known, dtype=torch.long)), weights)
    assert not done.logps[3:].any()
    assert not done.grad_hidden[3:].any()
    assert bool(done.grad_hidden[:3].any())


def test_the_teacher_s_own_distribution_costs_its_entropy_and_pulls_nowhere(device):
    """Half and half of two words whose logits are equal and all others' far below."""
    weight = torch.tensor([[1.0], [1.0], [-1.0]], dtype=torch.float64, device=device)
    hidden = torch.full((1, 1), 100.0, dtype=torch.float64, device=device, requires_grad=True)
    targets = SoftTargets(*(torch.tensor([each], device=device) for each in ([0.5, 0.5], [0, 1])))
    loss, each = soft_nll(hidden, Head(weight), targets, torch.ones(1, device=device))
    loss.backward()
    assert loss.item() == each.item() == pytest.approx(math.log(2))
    assert hidden.grad.item() == pytest.approx(0.0, abs=1e-12)
