import torch
from torch.testing import assert_close

from gnomon.losses.masking import sequence_sum, token_mean

VALUES = torch.tensor([[1.0, 2.0, float("nan")], [6.0, float("inf"), float("nan")]])
KEEP = torch.tensor([[True, True, False], [True, False, False]])


def test_every_token_weighs_the_same():
    assert_close(token_mean(VALUES, KEEP), torch.tensor(3.0))  # (1 + 2 + 6) / 3, not (1.5 + 6) / 2


def test_rows_are_summed():
    assert_close(sequence_sum(VALUES, KEEP), torch.tensor([3.0, 6.0]))


def test_nothing_to_average_is_zero():
    assert token_mean(VALUES, torch.zeros_like(KEEP)).item() == 0.0


def test_what_is_masked_gets_no_gradient():
    values = torch.ones(2, 3, requires_grad=True)
    token_mean(values, KEEP).backward()
    assert_close(values.grad, KEEP / 3)
