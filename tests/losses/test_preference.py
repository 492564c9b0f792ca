import math

import pytest
import torch
from torch.testing import assert_close

from gnomon.losses.preference import PairLogps, dpo, expected, hinge, ipo, robust_dpo
from gnomon.losses.reward import smoothed


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


TOKENS = torch.tensor([4]), torch.tensor([7])


def pair(first, second, ref_first, ref_second):
    return PairLogps(numbers(first), numbers(second), numbers(ref_first), numbers(ref_second), *TOKENS)


SURE = numbers(1.0)
WORKED = pair(-10.0, -14.0, -12.0, -11.0)
"""Log-ratios 2 and -3, so a margin of 5 nats."""


def test_log_ratios_are_to_the_reference_and_the_margin_is_their_difference():
    assert_close(WORKED.first_ratio, numbers(2.0))
    assert_close(WORKED.second_ratio, numbers(-3.0))
    assert_close(WORKED.margin, numbers(5.0))


def test_an_average_is_of_each_answer_s_own_tokens():
    mean = WORKED.averaged()
    assert_close((mean.first, mean.second), (numbers(-2.5), numbers(-2.0)))
    assert_close((mean.first_ratio, mean.second_ratio), (numbers(2 / 4), numbers(-3 / 7)))


def test_swapped_pairs_have_the_other_answer_first():
    swapped = WORKED.swapped()
    assert_close((swapped.first, swapped.second_ratio), (numbers(-14.0), numbers(2.0)))
    assert (int(swapped.first_tokens), int(swapped.second_tokens)) == (7, 4)
    assert swapped.swapped() == WORKED


def test_a_loss_is_expected_over_both_verdicts():
    assert_close(expected(lambda own: own.margin, WORKED, numbers(0.75)), numbers(0.75 * 5 - 0.25 * 5))


def test_worked_numbers():
    # -ln(1 / (1 + e^-(0.2 * 5))), and -ln(1 / (1 + e^1)) where the second is the better
    assert_close(dpo(WORKED, SURE, beta=0.2), numbers(math.log(1 + math.exp(-1))))
    assert_close(dpo(WORKED, 1 - SURE, beta=0.2), numbers(math.log(1 + math.e)))


def test_a_policy_that_is_its_reference_pays_ln_2_whatever_the_answers():
    same = pair(-3.0, -700.0, -3.0, -700.0)
    assert_close(dpo(same, SURE, beta=0.1), numbers(math.log(2)))
    assert_close(dpo(same, numbers(0.3), beta=0.1), numbers(math.log(2)))


def test_the_gradient_is_beta_times_how_wrong_the_implicit_reward_is():
    """Eq. 7's gradient: -beta * s(-d) on the chosen answer, the same with the other sign on the rejected."""
    first, second = numbers(-10.0).requires_grad_(), numbers(-14.0).requires_grad_()
    dpo(PairLogps(first, second, numbers(-12.0), numbers(-11.0), *TOKENS), SURE, beta=0.2).backward()
    wanted = 0.2 / (1 + math.e)
    assert first.grad.item() == pytest.approx(-wanted)
    assert second.grad.item() == pytest.approx(wanted)


def test_a_soft_label_is_the_mean_of_both_verdicts():
    sure, opposite = dpo(WORKED, SURE, beta=0.2), dpo(WORKED, 1 - SURE, beta=0.2)
    assert_close(dpo(WORKED, numbers(0.75), beta=0.2), 0.75 * sure + 0.25 * opposite)


def test_a_smoothed_label_is_met_at_its_log_odds_and_no_further():
    """Conservative DPO: with a tenth of the labels flipped the margin stops at ln 9 / beta."""
    first = numbers(math.log(9) / 0.2).requires_grad_()
    zero = numbers(0.0)
    dpo(PairLogps(first, zero, zero, zero, *TOKENS), smoothed(SURE, 0.1), beta=0.2).backward()
    assert first.grad.item() == pytest.approx(0.0, abs=1e-12)


def test_what_both_answers_gain_alike_changes_nothing():
    """The log-prob of the prompt, or of an earlier turn, would cancel."""
    more = pair(-10.0 + 7, -14.0 + 7, -12.0, -11.0)
    assert_close(dpo(more, SURE, beta=0.2), dpo(WORKED, SURE, beta=0.2))


def test_an_enormous_margin_is_finite():
    assert_close(dpo(pair(0.0, -1e5, 0.0, 0.0), 1 - SURE, beta=0.1), numbers(1e4))


def test_robust_worked_numbers():
    # l = ln(1 + e^-1), l' = ln(1 + e): (0.9 l - 0.1 l') / 0.8
    told, opposite = math.log(1 + math.exp(-1)), math.log(1 + math.e)
    assert_close(robust_dpo(WORKED, SURE, beta=0.2, flips=0.1), numbers((0.9 * told - 0.1 * opposite) / 0.8))
    assert_close(robust_dpo(WORKED, SURE, beta=0.2, flips=0.0), dpo(WORKED, SURE, beta=0.2))


def test_over_flipped_labels_the_robust_loss_is_dpo_s_by_the_true_ones():
    """Of four labels one is flipped: cDPO is off, rDPO is not."""
    true = dpo(WORKED, SURE, beta=0.2)
    robust = [robust_dpo(WORKED, label, beta=0.2, flips=0.25) for label in (SURE, 1 - SURE)]
    assert_close(0.75 * robust[0] + 0.25 * robust[1], true)
    conservative = [dpo(WORKED, smoothed(label, 0.25), beta=0.2) for label in (SURE, 1 - SURE)]
    assert abs(float(0.75 * conservative[0] + 0.25 * conservative[1] - true)) > 0.1


def test_the_robust_loss_never_stops_pushing():
    """Without bound: 0.2 * 0.1 / 0.8 less for each nat of an enormous margin."""
    far, further = (robust_dpo(pair(own, 0.0, 0.0, 0.0), SURE, beta=0.2, flips=0.1) for own in (1e3, 1e3 + 1))
    assert_close(further - far, numbers(-0.2 * 0.1 / 0.8))


def test_ipo_worked_numbers():
    # a margin of 5 where 1 / 0.4 = 2.5 is aimed at: 2.5 squared; where the second is better -5: 7.5 squared
    assert_close(ipo(WORKED, SURE, beta=0.2), numbers(6.25))
    assert_close(ipo(WORKED, 1 - SURE, beta=0.2), numbers(56.25))
    # of a token: 2/4 + 3/7
    assert_close(ipo(WORKED, SURE, beta=0.2, average=True), numbers((2 / 4 + 3 / 7 - 2.5) ** 2))


def test_ipo_comes_back_where_a_margin_is_too_large():
    first = numbers(6.0).requires_grad_()
    zero = numbers(0.0)
    ipo(PairLogps(first, zero, zero, zero, *TOKENS), SURE, beta=0.1).backward()
    assert first.grad.item() == pytest.approx(2 * (6 - 5))


def test_hinge_worked_numbers():
    # 1 - 0.1 * 5, 1 + 0.1 * 5, and enough at 1 / 0.2 nats
    assert_close(hinge(WORKED, SURE, beta=0.1), numbers(0.5))
    assert_close(hinge(WORKED, 1 - SURE, beta=0.1), numbers(1.5))
    assert_close(hinge(WORKED, SURE, beta=0.25), numbers(0.0))
    assert_close(hinge(WORKED, numbers(0.75), beta=0.25), numbers(0.25 * (1 + 0.25 * 5)))
