import math

import pytest
import torch
from torch.testing import assert_close

from gnomon.losses.length_aware import desensitised, r_dpo
from gnomon.losses.preference import PairLogps, dpo


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


SURE = numbers(1.0)
TOKENS = torch.tensor([4]), torch.tensor([7])
WORKED = PairLogps(numbers(-10.0), numbers(-14.0), numbers(-12.0), numbers(-11.0), *TOKENS)
"""A margin of 5 nats, the second answer longer by 3 tokens."""


def test_past_the_shorter_answer_s_length_a_token_counts_less():
    long, short = numbers(-1.0, -2.0, -3.0), numbers(-4.0)
    one, other = desensitised(long, short, tail_weight=0.5)
    assert (one.item(), other.item()) == (-1 - 0.5 * 5, -4)
    other, one = desensitised(short, long, tail_weight=0.5)
    assert (one.item(), other.item()) == (-3.5, -4)


def test_with_a_weight_of_1_it_is_the_sum_and_with_0_the_tail_is_not_there():
    long, short = numbers(-1.0, -2.0, -3.0), numbers(-4.0, -5.0)
    assert [value.item() for value in desensitised(long, short, tail_weight=1.0)] == [-6, -9]
    assert [value.item() for value in desensitised(long, short, tail_weight=0.0)] == [-3, -9]


def test_the_gradient_of_a_token_is_its_weight():
    long, short = numbers(-1.0, -2.0, -3.0).requires_grad_(), numbers(-4.0)
    desensitised(long, short, tail_weight=0.25)[0].backward()
    assert long.grad.tolist() == [1.0, 0.25, 0.25]


def test_r_dpo_worked_numbers():
    # 0.2 * 5 + 0.1 * (4 - 7) = 0.7
    found = r_dpo(WORKED, SURE, beta=0.2, length_penalty=0.1)
    assert_close(found, numbers(math.log(1 + math.exp(-0.7))))
    opposite = r_dpo(WORKED, 1 - SURE, beta=0.2, length_penalty=0.1)
    assert_close(opposite, numbers(math.log(1 + math.exp(0.7))))
    assert_close(r_dpo(WORKED, SURE, beta=0.2, length_penalty=0.0), dpo(WORKED, SURE, beta=0.2))


def test_an_answer_that_is_preferred_and_longer_is_pushed_less():
    """At the start, where the log-ratios explain nothing: s(-0.3) for 3 tokens more, s(0.3) for 3 fewer."""
    for tokens, longer in (((7, 4), 0.3), ((4, 7), -0.3)):
        first, zero = numbers(0.0).requires_grad_(), numbers(0.0)
        counts = (torch.tensor([count]) for count in tokens)
        r_dpo(PairLogps(first, zero, zero, zero, *counts), SURE, beta=1.0, length_penalty=0.1).backward()
        assert first.grad.item() == pytest.approx(-1 / (1 + math.exp(longer)))
