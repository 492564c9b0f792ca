import math

import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from gnomon.losses.sft import cross_entropy

KEEP = torch.tensor([[True, True, False], [True, False, False]])


def test_worked_numbers():
    logps = torch.tensor([[0.5, 0.25, 0.9], [0.125, 0.9, 0.9]]).log()
    assert_close(cross_entropy(logps, KEEP), torch.tensor(2 * math.log(2)))  # (1 + 2 + 3) / 3 * ln 2


def test_gradient_equals_finite_differences():
    logps = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda values: cross_entropy(values, KEEP), logps)
