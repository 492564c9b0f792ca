import numpy as np
import pytest
from scipy.special import expit

from gnomon.stats.ordinal import cut_slopes, cuts, gaps_of, outcome_chances, vote_terms

KINDS = [2, 3, 4, 5, 8]


def drawn_gaps(kinds):
    return np.random.default_rng(kinds).normal(size=gaps_of(kinds))


def test_three_kinds_by_hand():
    # At eta 1 with a threshold of 2: expit(-2 - 1), and what expit(2 - 1) leaves.
    found = outcome_chances(np.array(1.0), np.array(2.0), cuts(3, np.zeros(0)))
    assert found == pytest.approx([expit(-3), expit(1) - expit(-3), expit(-1)])


def test_two_kinds_are_bradley_and_terry():
    found = outcome_chances(np.array([1.0, -3.0]), np.ones(2), cuts(2, np.zeros(0)))
    assert found[:, 1] == pytest.approx(expit([1.0, -3.0]))


def test_cuts_of_a_scale_of_eight_have_no_tie():
    assert cuts(8, np.log([1.0, 2.0])).upper[:-1] == pytest.approx([-4, -2, -1, 0, 1, 2, 4])
    assert cuts(5, np.log([0.5])).upper[:-1] == pytest.approx([-1.5, -1, 1, 1.5])


@pytest.mark.parametrize("kinds", KINDS)
def test_chances_add_up_and_swapping_the_answers_mirrors_them(kinds):
    eta, scale = np.linspace(-6, 6, 13), cuts(kinds, drawn_gaps(kinds))
    found = outcome_chances(eta, np.full(13, 0.7), scale)
    assert found.sum(axis=1) == pytest.approx(np.ones(13))
    assert found[::-1, ::-1] == pytest.approx(found)
    assert (np.diff(found @ np.arange(kinds)) > 0).all()


@pytest.mark.parametrize("kinds", KINDS)
def test_the_terms_of_a_vote_multiply_to_its_chance(kinds):
    outcomes = np.arange(kinds)
    eta, threshold = np.linspace(-3, 3, kinds)[:, None] + [0.0, 1.0], np.full(kinds, 0.8)
    scale = cuts(kinds, drawn_gaps(kinds))
    terms = vote_terms(eta, threshold, outcomes, scale)
    wanted = outcome_chances(eta, np.full((kinds, 2), 0.8), scale)[outcomes, :, outcomes]
    assert terms.under * terms.over * terms.within[:, None] == pytest.approx(wanted)


def test_digits_survive_far_from_the_cuts():
    # expit(-39) - expit(-41) by subtraction of expit(39) and expit(41) would be 0.
    terms = vote_terms(np.array([[40.0]]), np.ones(1), np.array([1]), cuts(3, np.zeros(0)))
    chance = (terms.under * terms.over)[0, 0] * terms.within[0]
    assert chance == pytest.approx(np.exp(-39) - np.exp(-41), rel=1e-9)


@pytest.mark.parametrize("kinds", [5, 6, 8])
def test_cuts_move_with_gaps_as_they_say(kinds):
    gaps = drawn_gaps(kinds)
    lower, upper = cut_slopes(kinds, gaps)
    for k in range(gaps.size):
        step = 1e-6 * np.eye(gaps.size)[k]
        above, below = cuts(kinds, gaps + step), cuts(kinds, gaps - step)
        assert upper[:-1, k] == pytest.approx((above.upper[:-1] - below.upper[:-1]) / 2e-6, abs=1e-6)
        assert lower[1:, k] == pytest.approx((above.lower[1:] - below.lower[1:]) / 2e-6, abs=1e-6)
