import math

import pytest
import torch
from torch.testing import assert_close

from gnomon.losses.masking import divisors, standardised

VALUES = torch.tensor([[1.0, 2.0, float("nan")], [6.0, float("inf"), float("nan")]])
KEEP = torch.tensor([[True, True, False], [True, False, False]])


@pytest.mark.parametrize(
    ("average", "wanted"),
    [("tokens", [6, 6, 6]), ("sequences", [3, 6, 9]), ("constant", [24, 24, 24]), ("sums", [3, 3, 3])],
)
def test_what_a_token_is_divided_by(average, wanted):
    """Rows of 1, 2 and 3 tokens, where 8 may come."""
    assert divisors(torch.tensor([1, 2, 3]), average, 8).tolist() == wanted


@pytest.mark.parametrize("average", ["tokens", "sequences"])
def test_weights_of_a_step_add_up_to_one(average):
    lengths = torch.tensor([1, 5, 2])
    assert float((lengths / divisors(lengths, average, 8)).sum()) == pytest.approx(1.0)


@pytest.mark.mistake("tests-that-cannot-fail")
def test_standardised_values_have_lost_their_mean():
    # 1, 2 and 6 have mean 3 and a standard deviation of sqrt(14 / 3)
    wanted = torch.tensor([[-2.0, -1.0, 0.0], [3.0, 0.0, 0.0]]) / math.sqrt(14 / 3)
    assert_close(standardised(VALUES, KEEP), wanted, rtol=1e-5, atol=1e-6)


def test_what_is_masked_changes_no_statistic():
    other = VALUES.masked_fill(~KEEP, -1e9)
    assert torch.equal(standardised(other, KEEP), standardised(VALUES, KEEP))


def test_equal_values_become_exactly_zero():
    values = torch.full((2, 3), 0.1)
    assert torch.equal(standardised(values, KEEP), torch.zeros(2, 3))
    assert torch.equal(standardised(values, torch.zeros_like(KEEP)), torch.zeros(2, 3))
