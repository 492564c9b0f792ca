"""The fused head against log_softmax under autograd."""

import gc
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import psutil
import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from gnomon.kernels import fused
from gnomon.kernels import head as kernel
from gnomon.kernels.fused import head_pass, token_logps, weighted_nll
from gnomon.kernels.head import Head, certain, head_logits, plain_logps

ROWS, WIDTH, VOCABULARY = 20, 6, 33
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 3e-2}
SHAPES = {
    "plain": {},
    "bias": {"bias": True},
    "scale": {"scale": 0.25},
    "softcap": {"softcap": 2.0},
    "all": {"bias": True, "scale": 0.5, "softcap": 3.0},
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


def drawn(device, dtype=torch.float64, *, bias=False, scale=1.0, softcap=None, trains=False, tile_bytes=1):
    """A head in tiles of 8 rows (the least), hidden states, targets, and weights of both signs."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device, dtype)

    weight = random(VOCABULARY, WIDTH).requires_grad_(trains)
    shift = random(VOCABULARY).requires_grad_(trains) if bias else None
    head = Head(weight, shift, scale, softcap, tile_bytes)
    hidden = random(ROWS, WIDTH).requires_grad_()
    targets = torch.randint(VOCABULARY, (ROWS,), generator=generator).to(device)
    return hidden, head, targets, random(ROWS)


def reference(hidden, head, targets, weights, temperature):
    """What it should be: float64 log_softmax, and autograd through it, by a bias last where there is one."""
    hidden, weight = (t.detach().double().requires_grad_() for t in (hidden, head.weight))
    bias = None if head.bias is None else head.bias.detach().double().requires_grad_()
    logits = torch.nn.functional.linear(hidden, weight, bias) * head.scale
    if head.softcap is not None:
        logits = head.softcap * torch.tanh(logits / head.softcap)
    logps = torch.log_softmax(logits / temperature, dim=-1).gather(1, targets[:, None]).squeeze(1)
    loss = -(weights.double() * logps).sum()
    own = (hidden, weight) if bias is None else (hidden, weight, bias)
    return loss, logps, *torch.autograd.grad(loss, own)


def learnt(head):
    """Its weight, and its bias where it has one."""
    return [own for own in (head.weight, head.bias) if own is not None]


def test_twenty_rows_take_three_tiles(problem):
    _, head, _, _ = problem()
    assert head.tile == 8
    assert replace(head, tile_bytes=4 * VOCABULARY * 100).tile == 100


def test_a_tile_takes_its_share_of_the_memory_within_bounds(device):
    gib = 1 << 30
    assert [kernel.tile_bytes(n * gib) >> 20 for n in (1, 8, 24, 80)] == [24, 64, 192, 384]
    held = psutil.virtual_memory() if device.type == "cpu" else torch.cuda.get_device_properties(device)
    memory = held.total if device.type == "cpu" else held.total_memory
    assert Head(torch.zeros(1 << 16, 1, device=device)).tile == kernel.tile_bytes(memory) >> 18


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_loss_and_gradients_are_those_of_the_plain_head(problem, dtype, shape, temperature):
    hidden, head, targets, weights = problem(dtype, **SHAPES[shape], trains=True)
    loss, logps = weighted_nll(hidden, head, targets, weights, temperature)
    (3.0 * loss).backward()  # an upstream gradient that is not 1
    wanted = reference(hidden, head, targets, weights, temperature)
    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype] * 5, "check_dtype": False}
    assert_close(loss, wanted[0], **close)
    assert_close(logps, wanted[1], **close)
    assert_close(hidden.grad / 3, wanted[2], **close)
    assert_close(head.weight.grad / 3, wanted[3], **close)
    assert hidden.grad.dtype == head.weight.grad.dtype == dtype
    if head.bias is not None:
        assert_close(head.bias.grad / 3, wanted[4], **close)
        assert head.bias.grad.dtype == dtype
    assert logps.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_equals_finite_differences(problem, shape):
    hidden, head, targets, weights = problem(**SHAPES[shape], trains=True)

    def loss(rows, matrix, *shift):
        own = replace(head, weight=matrix, bias=shift[0] if shift else None)
        return weighted_nll(rows, own, targets, weights, 0.8)[0]

    assert gradcheck(loss, (hidden, *learnt(head)))


@pytest.mark.parametrize("trains", [True, False], ids=["trained", "frozen"])
def test_tiles_do_not_change_the_result(problem, monkeypatch, trains):
    results = []
    for size, rows in ((1, 8), (1 << 20, 1 << 20)):
        monkeypatch.setattr(fused, "ROWS", rows)
        results.append(head_pass(*problem(bias=True, trains=trains, tile_bytes=size), entropy=True))
    for ours, theirs in zip(*(vars(result).values() for result in results), strict=True):
        assert_close(ours, theirs)


def test_words_are_read_in_whole_numbers_of_blocks(problem, device, monkeypatch):
    """Of 20 rows 512 logits are 25 words, and of four 128: multiples of 16 where there are as many."""
    for held in ("HELD", "HELD_ON_DEVICE"):
        monkeypatch.setattr(fused, held, 512)
    monkeypatch.setattr(fused, "WHOLE", 16)
    hidden, _, _, _ = problem()
    weight = torch.zeros(300, WIDTH, dtype=torch.float64, device=device)
    head, targets = Head(weight), torch.arange(20, device=device)
    for rows, starts in ((20, 16), (4, 128), (8, 64)):
        tile = fused._Tile(hidden[:rows].detach(), head, certain(targets[:rows]), 1.0)
        assert [part.start for part, _ in tile._parts()] == list(range(0, 300, starts))


def test_a_frozen_head_keeps_no_logits(problem):
    hidden, head, targets, _ = problem()
    assert not fused._Tile(hidden.detach(), head, certain(targets), 1.0, slopes=True).kept


def test_a_frozen_head_gets_no_gradient_and_costs_none(problem):
    hidden, head, targets, weights = problem(bias=True)
    done = head_pass(hidden, head, targets, weights)
    assert done.grad_weight is done.grad_bias is None
    weighted_nll(hidden, head, targets, weights)[0].backward()
    assert head.weight.grad is head.bias.grad is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_two_gradients_of_a_head_do_not_share_memory(problem, dtype):
    """What they are added up in is one tensor for all micro-batches, what comes of it is not."""
    hidden, head, targets, weights = problem(dtype, trains=True)
    first = head_pass(hidden, head, targets, weights).grad_weight
    assert first.dtype == dtype
    before = first.clone()
    assert_close(head_pass(hidden, head, targets, 2 * weights).grad_weight, 2 * before, rtol=1e-2, atol=1e-2)
    assert_close(first, before, rtol=0, atol=0)


def test_a_pass_beside_another_adds_up_by_itself(problem):
    """One begins after the other has begun, and ends before."""
    hidden, head, targets, weights = problem(torch.bfloat16, trains=True)
    wanted = head_pass(hidden, head, targets, weights).grad_weight
    gradients, beside = fused._Tile.gradients, []

    def between(tile, *own):
        if not beside:
            beside.append(tile)
            head_pass(hidden, head, targets, weights)
        return gradients(tile, *own)

    with patch.object(fused._Tile, "gradients", between):
        found = head_pass(hidden, head, targets, weights).grad_weight
    assert torch.equal(found, wanted)


def test_a_head_that_is_gone_leaves_no_sum_behind(problem):
    hidden, head, targets, weights = problem(torch.bfloat16, trains=True)
    weighted_nll(hidden, head, targets, weights)[0].backward()
    held = len(fused._SUMS)
    assert held
    del hidden, head, weights
    gc.collect()
    assert len(fused._SUMS) == held - 1


def test_without_weights_there_are_log_probs_alone(problem):
    hidden, head, targets, weights = problem()
    done = head_pass(hidden, head, targets)
    assert_close(done.logps, reference(hidden, head, targets, weights, 1.0)[1])
    assert done.grad_hidden is done.grad_weight is done.grad_bias is done.entropy is None


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_entropy_is_that_of_the_tempered_distribution(problem, temperature):
    hidden, head, targets, _ = problem(softcap=3.0)
    done = head_pass(hidden, head, targets, temperature=temperature, entropy=True)
    logps = torch.log_softmax(head_logits(hidden, head) / temperature, dim=-1)
    assert_close(done.entropy, -(logps.exp() * logps).sum(dim=-1))


def test_entropy_of_equal_logits_is_the_log_of_their_number(device):
    head, targets = Head(torch.zeros(VOCABULARY, WIDTH, device=device)), torch.arange(3, device=device)
    done = head_pass(torch.randn(3, WIDTH, device=device), head, targets, entropy=True)
    assert_close(done.entropy, torch.full((3,), float(VOCABULARY), device=device).log())


def test_log_probs_are_not_differentiable_so_nothing_is_trained_twice(problem):
    hidden, head, targets, weights = problem()
    assert not weighted_nll(hidden, head, targets, weights)[1].requires_grad


def pair_loss(logps):
    """Not a sum of log-probs: each row of the first half against one of the second, as in preferences."""
    return -torch.nn.functional.logsigmoid(0.3 * (logps[: ROWS // 2] - logps[ROWS // 2 :])).sum()


@pytest.mark.parametrize("trains", [True, False], ids=["trained", "frozen"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_token_log_probs_and_their_gradients_are_those_of_the_plain_head(problem, dtype, shape, trains):
    hidden, head, targets, _ = problem(dtype, **SHAPES[shape], trains=trains)
    logps = token_logps(hidden, head, targets)
    pair_loss(logps).backward()
    exact = hidden.detach().double().requires_grad_(), head.weight.detach().double().requires_grad_(trains)
    bias = None if head.bias is None else head.bias.detach().double().requires_grad_(trains)
    wanted = plain_logps(exact[0], replace(head, weight=exact[1], bias=bias), targets)
    pair_loss(wanted).backward()
    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype] * 5, "check_dtype": False}
    assert_close(logps, wanted, **close)
    assert_close(hidden.grad, exact[0].grad, **close)
    assert float(exact[0].grad.abs().max()) > 0.1
    assert hidden.grad.dtype == dtype
    assert logps.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert (head.weight.grad is not None) == trains
    if trains:
        assert_close(head.weight.grad, exact[1].grad, **close)
        assert head.weight.grad.dtype == dtype
    if trains and bias is not None:
        assert_close(head.bias.grad, bias.grad, **close)
        assert head.bias.grad.dtype == dtype


@pytest.mark.parametrize("trains", [True, False], ids=["trained", "frozen"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_gradient_of_token_log_probs_equals_finite_differences(problem, device, trains, temperature):
    hidden, head, targets, _ = problem(**SHAPES["all"], trains=trains)

    def each(rows, matrix, shift):
        return token_logps(rows, replace(head, weight=matrix, bias=shift), targets, temperature)

    plain = kernel.plain_logps(hidden, head, targets, temperature)
    assert_close(each(hidden, *learnt(head)), plain)
    # a GPU adds up in any order
    assert gradcheck(each, (hidden, *learnt(head)), nondet_tol=0.0 if device.type == "cpu" else 1e-12)


@pytest.mark.parametrize("which", ["weight", "bias"])
def test_of_weight_and_bias_either_may_be_frozen(problem, which):
    hidden, head, targets, weights = problem(bias=True, trains=True)
    wanted = dict(zip(["weight", "bias"], reference(hidden, head, targets, weights, 1.0)[3:], strict=True))
    getattr(head, which).requires_grad_(requires_grad=False)
    (other,) = wanted.keys() - {which}
    for loss in (
        weighted_nll(hidden, head, targets, weights)[0],
        -(weights * token_logps(hidden, head, targets)).sum(),
    ):
        loss.backward()
        assert getattr(head, which).grad is None
        assert_close(getattr(head, other).grad, wanted[other])
        getattr(head, other).grad = None


def test_a_head_that_trains_under_frozen_states_gets_its_gradient(problem):
    hidden, head, targets, weights = problem(trains=True)
    (weights * token_logps(hidden.detach(), head, targets)).sum().backward()
    assert_close(head.weight.grad, -reference(hidden, head, targets, weights, 1.0)[3])


@pytest.mark.parametrize(("trains", "forward", "backward"), [(False, 3, 0), (True, 3, 3)])
def test_logits_are_computed_again_only_where_the_head_trains(
    problem, monkeypatch, trains, forward, backward
):
    """Three tiles of at most eight of twenty rows; never all of them."""
    rows = []
    tile = fused._Tile
    monkeypatch.setattr(
        fused, "_Tile", lambda held, *rest, **more: rows.append(len(held)) or tile(held, *rest, **more)
    )
    hidden, head, targets, _ = problem(trains=trains)
    logps = token_logps(hidden, head, targets)
    assert len(rows) == forward
    logps.sum().backward()
    assert len(rows) == forward + backward
    assert max(rows) == 8


def test_without_gradients_nothing_is_kept(problem):
    hidden, head, targets, _ = problem()
    with torch.no_grad():
        assert not token_logps(hidden, head, targets).requires_grad
    assert not token_logps(hidden.detach(), head, targets).requires_grad
    assert token_logps(hidden, head, targets).requires_grad


def test_of_no_rows_there_are_no_log_probs(problem):
    hidden, head, targets, _ = problem()
    logps = token_logps(hidden[:0], head, targets[:0])
    logps.sum().backward()
    assert logps.shape == (0,)
    assert not hidden.grad.any()


def test_plain_log_probs_are_differentiable(problem):
    hidden, head, targets, weights = problem(softcap=2.0)
    loss = -(weights * plain_logps(hidden, head, targets, 0.7)).sum()
    wanted = reference(hidden, head, targets, weights, 0.7)
    assert_close(loss, wanted[0])
    assert_close(torch.autograd.grad(loss, hidden)[0], wanted[2])


@pytest.mark.parametrize("softcap", [None, 30.0])
def test_log_probs_are_those_of_states_in_bfloat16_not_of_logits_in_bfloat16(device, softcap):
    """Logits of likely words are 10 to 50: rounded to bfloat16, log-probs are off by 0.02 on average."""
    generator = torch.Generator().manual_seed(0)
    weight, noise = (torch.randn(n, WIDTH, generator=generator).to(device) for n in (300, 200))
    weight, hidden = weight.to(torch.bfloat16), (2 * weight[:200] + noise).to(torch.bfloat16)
    targets = (hidden @ weight.T).topk(2).indices[:, 1]
    head = Head(weight, softcap=softcap)
    exact = kernel.plain_logps(hidden.double(), replace(head, weight=weight.double()), targets)
    for ours in (token_logps(hidden, head, targets), kernel.plain_logps(hidden, head, targets)):
        assert (ours.double() - exact).abs().mean() < 5e-3


def test_huge_logits_stay_finite(problem):
    hidden, head, targets, weights = problem(torch.float32)
    done = head_pass(hidden.detach() * 1e4, head, targets, weights)
    assert bool(done.logps.isfinite().all())
    assert bool(done.grad_hidden.isfinite().all())
