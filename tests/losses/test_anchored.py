import math

import pytest
import torch
from torch.testing import assert_close

from gnomon.losses.anchored import apo_down, apo_zero, kto, kto_baseline
from gnomon.losses.preference import PairLogps


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def squash(x):
    return 1 / (1 + math.exp(-x))


SURE = numbers(1.0)
TOKENS = torch.tensor([4]), torch.tensor([7])
WORKED = PairLogps(numbers(-10.0), numbers(-14.0), numbers(-12.0), numbers(-11.0), *TOKENS)
"""Log-ratios 2 and -3."""
ONE = torch.tensor(1.0, dtype=torch.float64)


def test_the_baseline_is_the_mean_of_mismatched_answers_and_never_below_0():
    assert_close(kto_baseline(numbers(3.0, -1.0)), ONE)
    assert_close(kto_baseline(numbers(-3.0, 1.0)), torch.zeros((), dtype=torch.float64))
    assert_close(kto_baseline(torch.zeros(0, dtype=torch.float64)), torch.zeros((), dtype=torch.float64))


def test_kto_worked_numbers():
    # 0.5 * (2 - 1) to gain, 0.5 * (1 + 3) below what is undesirable
    losses = kto(numbers(2.0, -3.0), numbers(1.0, 0.0), ONE, beta=0.5)
    assert_close(losses, numbers(1 - squash(0.5), 1 - squash(2.0)))


def test_weights_are_of_what_is_desirable_and_what_is_not():
    given = {"desirable_weight": 1.5, "undesirable_weight": 0.25}
    losses = kto(numbers(2.0, -3.0, 2.0), numbers(1.0, 0.0, 0.5), ONE, beta=0.5, **given)
    good, bad = 1.5 * (1 - squash(0.5)), 0.25 * (1 - squash(-0.5))
    assert_close(losses, numbers(good, 0.25 * (1 - squash(2.0)), (good + bad) / 2))


def test_no_gradient_flows_through_the_baseline():
    mismatched, ratios = numbers(3.0, -1.0).requires_grad_(), numbers(2.0).requires_grad_()
    assert not kto_baseline(mismatched).requires_grad
    moving = ONE.clone().requires_grad_()
    kto(ratios, SURE, moving, beta=0.5).backward()
    assert moving.grad is None
    assert ratios.grad.item() == pytest.approx(-0.5 * squash(0.5) * (1 - squash(0.5)))


def test_an_answer_needs_no_partner():
    """Of three answers two are desirable; each costs what it costs alone."""
    ratios, desirable = numbers(2.0, -3.0, 0.5), numbers(1.0, 0.0, 1.0)
    together = kto(ratios, desirable, ONE, beta=0.5)
    alone = [kto(ratios[i : i + 1], desirable[i : i + 1], ONE, beta=0.5) for i in range(3)]
    assert_close(together, torch.cat(alone))


def test_apo_zero_worked_numbers():
    # both are right by their own: s(-0.5 * 2) + s(-0.5 * 3)
    assert_close(apo_zero(WORKED, SURE, beta=0.5), numbers(squash(-1.0) + squash(-1.5)))
    assert_close(apo_zero(WORKED, 1 - SURE, beta=0.5), numbers(squash(1.0) + squash(1.5)))


def test_apo_down_worked_numbers():
    # the better one still has to fall: s(0.5 * 2), while the margin is 5
    assert_close(apo_down(WORKED, SURE, beta=0.5), numbers(squash(1.0) + squash(-2.5)))
    # the second is better: its own ratio is -3, its margin -5
    assert_close(apo_down(WORKED, 1 - SURE, beta=0.5), numbers(squash(-1.5) + squash(2.5)))


def test_zero_makes_the_better_answer_likelier_from_the_start_and_down_does_not():
    """Policy and reference are one: a quarter of beta either way, which in `apo_down` cancels at first."""
    for loss, better in ((apo_zero, -0.25), (apo_down, 0.0)):
        first, second, zero = numbers(0.0).requires_grad_(), numbers(0.0).requires_grad_(), numbers(0.0)
        loss(PairLogps(first, second, zero, zero, *TOKENS), SURE, beta=1.0).backward()
        assert (first.grad.item(), second.grad.item()) == pytest.approx((better, 0.25), abs=1e-12)


def test_down_makes_the_better_answer_less_likely_once_it_leads():
    first, second, zero = numbers(1.0).requires_grad_(), numbers(-3.0), numbers(0.0)
    apo_down(PairLogps(first, second, zero, zero, *TOKENS), SURE, beta=1.0).backward()
    assert first.grad.item() > 0.15
