"""Attention as whole products, against head by head and against torch's own."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn.functional import scaled_dot_product_attention
from torch.testing import assert_close

from gnomon.kernels.attention import added_to_scores, attend, attend_once, causal, plain_attend

WIDTH, SCALE = 8, 0.3
HEADS = [(4, 1), (4, 2), (4, 4), (1, 1)]


def problem(heads, groups, queries=7, keys=7, dtype=torch.float64, batch=3):
    """Queries, keys and values as a layer gives them: heads split from [batch, length, heads * width]."""
    generator = torch.Generator().manual_seed(0)

    def split(length, count):
        flat = torch.randn(batch, length, count * WIDTH, generator=generator, dtype=torch.float64)
        return flat.to(dtype).view(batch, length, count, WIDTH).transpose(1, 2).requires_grad_()

    seen = torch.rand(batch, 1, queries, keys, generator=generator) < 0.6
    seen[..., 0] = True
    return split(queries, heads), split(keys, groups), split(keys, groups), added_to_scores(seen, dtype)


@pytest.mark.parametrize(("heads", "groups"), HEADS)
@pytest.mark.parametrize(("queries", "keys"), [(7, 7), (3, 9), (1, 5)])
def test_values_and_gradients_are_those_of_each_head_alone(heads, groups, queries, keys):
    tensors = problem(heads, groups, queries, keys)
    ours, plain = attend(*tensors, SCALE), plain_attend(*tensors, SCALE)
    assert_close(ours, plain)
    upstream = torch.randn_like(ours)
    assert_close(
        torch.autograd.grad(ours, tensors[:3], upstream), torch.autograd.grad(plain, tensors[:3], upstream)
    )


@pytest.mark.parametrize(("heads", "groups"), HEADS)
def test_torch_computes_the_same(heads, groups):
    query, key, value, added = problem(heads, groups)
    repeated = (kept.repeat_interleave(heads // groups, dim=1) for kept in (key, value))
    theirs = scaled_dot_product_attention(query, *repeated, attn_mask=added, scale=SCALE)
    assert_close(attend(query, key, value, added, SCALE), theirs.transpose(1, 2))


@pytest.mark.parametrize(("heads", "groups"), HEADS)
@pytest.mark.mistake("mask-ignored")
def test_one_query_a_row_is_read_as_each_head_alone_reads_it(heads, groups):
    *tensors, added = problem(heads, groups, queries=1, keys=9)
    everything = torch.zeros_like(added)
    for mask, as_added in ((added == 0, added), (added, added), (None, everything)):
        assert_close(attend_once(*tensors, mask, SCALE), plain_attend(*tensors, as_added, SCALE))


def test_gradients_are_those_of_finite_differences():
    query, key, value, added = problem(2, 1, queries=3, keys=4, batch=1)
    assert gradcheck(lambda *tensors: attend(*tensors, added, SCALE), (query, key, value))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
def test_rounding_stays_small(dtype, tolerance):
    tensors = problem(4, 1, queries=40, keys=40, dtype=dtype)
    exact = plain_attend(*(tensor.double() for tensor in tensors), SCALE)
    assert float((attend(*tensors, SCALE) - exact).norm() / exact.norm()) < tolerance


@pytest.mark.mistake("mask-ignored")
def test_what_is_not_seen_does_not_move_a_value_by_a_bit():
    query, key, value, _ = problem(4, 2, dtype=torch.bfloat16)
    added = added_to_scores(causal(7, 7, query.device)[None, None], query.dtype)
    before = attend(query, key, value, added, SCALE)
    with torch.no_grad():
        key[:, :, 5:] += 10
        value[:, :, 5:] -= 10
    after = attend(query, key, value, added, SCALE)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.equal(before[:, 5:], after[:, 5:])


def test_a_query_that_sees_nothing_stays_finite():
    query, key, value, added = problem(4, 2)
    added[0] = torch.finfo(added.dtype).min
    assert bool(attend(query, key, value, added, SCALE).isfinite().all())


def test_the_last_query_is_as_late_as_the_last_key():
    assert causal(2, 4, torch.device("cpu")).tolist() == [[True, True, True, False], [True] * 4]
