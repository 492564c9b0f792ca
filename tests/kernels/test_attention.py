"""Attention as whole products, against head by head and against torch's own."""

from functools import partial

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn.functional import scaled_dot_product_attention
from torch.testing import assert_close

from gnomon.kernels import attention
from gnomon.kernels.attention import added_to_scores, attend, attend_once, causal, plain_attend
from gnomon.kernels.branches import Group, lay_out, visible

WIDTH, SCALE = 8, 0.3
HEADS = [(4, 1), (4, 2), (4, 4), (1, 1)]


@pytest.fixture(params=[attention.BLOCK, 2], ids=["whole", "blocks"])
def block(request, monkeypatch):
    """Queries taken together: all of the few that tests have, or two at a time."""
    monkeypatch.setattr(attention, "BLOCK", request.param)
    return request.param


@pytest.fixture
def problem(device):
    return partial(drawn, device)


def drawn(device, heads, groups, queries=7, keys=7, dtype=torch.float64, batch=3):
    """Queries, keys and values as a layer gives them: heads split from [batch, length, heads * width]."""
    generator = torch.Generator().manual_seed(0)

    def split(length, count):
        flat = torch.randn(batch, length, count * WIDTH, generator=generator, dtype=torch.float64)
        own = flat.to(device, dtype).view(batch, length, count, WIDTH).transpose(1, 2)
        return own.requires_grad_()

    seen = torch.rand(batch, 1, queries, keys, generator=generator) < 0.6
    seen[..., 0] = True
    added = added_to_scores(seen.to(device), dtype)
    return split(queries, heads), split(keys, groups), split(keys, groups), added


@pytest.mark.parametrize(("heads", "groups"), HEADS)
@pytest.mark.parametrize(("queries", "keys"), [(7, 7), (3, 9), (1, 5)])
@pytest.mark.usefixtures("block")
def test_values_and_gradients_are_those_of_each_head_alone(problem, heads, groups, queries, keys):
    tensors = problem(heads, groups, queries, keys)
    ours, plain = attend(*tensors, SCALE), plain_attend(*tensors, SCALE)
    assert_close(ours, plain)
    upstream = torch.randn_like(ours)
    assert_close(
        torch.autograd.grad(ours, tensors[:3], upstream), torch.autograd.grad(plain, tensors[:3], upstream)
    )


@pytest.mark.parametrize(("heads", "groups"), HEADS)
def test_torch_computes_the_same(problem, heads, groups):
    query, key, value, added = problem(heads, groups)
    repeated = (kept.repeat_interleave(heads // groups, dim=1) for kept in (key, value))
    theirs = scaled_dot_product_attention(query, *repeated, attn_mask=added, scale=SCALE)
    assert_close(attend(query, key, value, added, SCALE), theirs.transpose(1, 2))


@pytest.mark.parametrize(("heads", "groups"), HEADS)
@pytest.mark.mistake("mask-ignored")
def test_one_query_a_row_is_read_as_each_head_alone_reads_it(problem, heads, groups):
    *tensors, added = problem(heads, groups, queries=1, keys=9)
    everything = torch.zeros_like(added)
    for mask, as_added in ((added == 0, added), (added, added), (None, everything)):
        assert_close(attend_once(*tensors, mask, SCALE), plain_attend(*tensors, as_added, SCALE))


@pytest.mark.usefixtures("block")
def test_gradients_are_those_of_finite_differences(problem):
    query, key, value, added = problem(2, 1, queries=3, keys=4, batch=1)
    assert gradcheck(lambda *tensors: attend(*tensors, added, SCALE), (query, key, value))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
@pytest.mark.usefixtures("block")
def test_rounding_stays_small(problem, dtype, tolerance):
    tensors = problem(4, 1, queries=40, keys=40, dtype=dtype)
    exact = plain_attend(*(tensor.double() for tensor in tensors), SCALE)
    assert float((attend(*tensors, SCALE) - exact).norm() / exact.norm()) < tolerance


@pytest.mark.usefixtures("block")
@pytest.mark.mistake("mask-ignored")
def test_what_is_not_seen_does_not_move_a_value_by_a_bit(problem):
    query, key, value, _ = problem(4, 2, dtype=torch.bfloat16)
    added = added_to_scores(causal(7, 7, query.device)[None, None], query.dtype)
    before = attend(query, key, value, added, SCALE)
    with torch.no_grad():
        key[:, :, 5:] += 10
        value[:, :, 5:] -= 10
    after = attend(query, key, value, added, SCALE)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.equal(before[:, 5:], after[:, 5:])


@pytest.mark.usefixtures("block")
def test_a_query_that_sees_nothing_stays_finite(problem):
    query, key, value, added = problem(4, 2)
    added[0] = torch.finfo(added.dtype).min
    assert bool(attend(query, key, value, added, SCALE).isfinite().all())


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("heads_and_groups", HEADS)
@pytest.mark.mistake("mask-ignored")
def test_answers_beside_each_other_are_read_block_by_block_as_at_once(
    problem, device, heads_and_groups, window, monkeypatch
):
    rows = [[1] * 3 + [2] * 5, [1] * 3 + [3] * 4, [4] * 6]
    groups = [Group(((0,), (1,)), 15, 3), Group(((2,),), 6, 6)]
    batch = lay_out(rows, groups, pad_id=0, device=device)
    seen = visible(batch.segments, batch.positions, window)[:, None]
    tensors = [*problem(*heads_and_groups, 12, 12, batch=2)[:3], added_to_scores(seen, torch.float64)]
    real = (batch.segments >= 0)[:, :, None, None]
    upstream = real * torch.randn(2, 12, heads_and_groups[0], WIDTH, dtype=torch.float64, device=device)
    plain = plain_attend(*tensors, SCALE)
    wanted = torch.autograd.grad(plain, tensors[:3], upstream)
    for length in (1, 3, 5, 12):
        monkeypatch.setattr(attention, "BLOCK", length)
        ours = attend(*tensors, SCALE)
        assert_close(real * ours, real * plain)
        assert_close(torch.autograd.grad(ours, tensors[:3], upstream), wanted)


def test_a_block_is_held_against_what_it_sees_alone(device, monkeypatch):
    monkeypatch.setattr(attention, "BLOCK", 2)
    rows = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]
    seen = torch.tensor(rows, device=device)
    parts = list(attention._parts(added_to_scores(seen.bool()[None, None], torch.float64)))
    assert [part.queries for part in parts] == [slice(0, 1), slice(1, 3), slice(3, 5)]
    assert [part.keys for part in parts] == [slice(0, 1), slice(0, 3), slice(3, 4)]
    seen[2, 2:4] = torch.tensor([0, 1], device=device)
    (_, part, _) = attention._parts(added_to_scores(seen.bool()[None, None], torch.float64))
    assert part.keys.tolist() == [0, 1, 3]


def test_the_last_query_is_as_late_as_the_last_key(device):
    assert causal(2, 4, device).tolist() == [[True, True, True, False], [True] * 4]
