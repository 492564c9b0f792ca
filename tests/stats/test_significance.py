import numpy as np
import pytest
from scipy.stats import binom, false_discovery_control

from gnomon.errors import DataError
from gnomon.stats.significance import about_zero, benjamini_hochberg, holm, sign_flips

BENJAMINI_HOCHBERG_1995 = [
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
    *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
]
"""The fifteen p-values of section 3.2 there: theirs rejects four at 0.05, Bonferroni's three."""


def test_mcnemar_of_one_against_seven():
    # Fagerland et al. (2013): airway responsiveness before and after, 0.070.
    assert sign_flips([1] + [-1] * 7) == sign_flips([-1] + [1] * 7) == pytest.approx(2 * 9 / 256)
    assert sign_flips([1] + [0] * 40 + [-1] * 7) == pytest.approx(2 * 9 / 256)


def test_pairs_that_lean_to_no_side():
    assert sign_flips([0, 0]) == sign_flips([1, -1] * 3) == 1
    assert sign_flips([1] * 5) == pytest.approx(2 / 32)


def test_signs_are_those_of_clusters():
    assert sign_flips([1] * 8) == pytest.approx(2 / 256)
    assert sign_flips([1] * 8, ["one"] * 8) == 1
    # Totals of 2 and 1 and 1 with any signs: 4, 2, 2, 0 and their negatives; 2 is reached by six of eight.
    assert sign_flips([1, 1, 1, -1], list("aabc")) == pytest.approx(6 / 8)


@pytest.mark.parametrize("pairs", [10, 25, 40])
def test_the_exact_test_errs_no_more_than_it_says(pairs):
    chances = binom.pmf(np.arange(pairs + 1), pairs, 0.5)
    found = [sign_flips([1] * k + [-1] * (pairs - k)) for k in range(pairs + 1)]
    assert 0.02 < sum(p for p, own in zip(chances, found, strict=True) if own <= 0.05) <= 0.05


def test_a_mean_about_zero_by_hand():
    # 6 / 14^(1/2) at two degrees of freedom: 1 - t / (2 + t^2)^(1/2).
    assert about_zero([1, 2, 3]) == about_zero([-1, -2, -3]) == pytest.approx(0.25)
    assert about_zero([1, 1, 1, -1, 3, 0], list("aabbcc")) == about_zero([2, 0, 3])
    # Five alike: 5^(1/2) at four, whatever they are.
    assert [about_zero([x] * 5) for x in (0.1, 7.0)] == pytest.approx([0.0890] * 2, abs=1e-4)
    assert about_zero([0.0, 0.0]) == about_zero([3.0, 4.0], "aa") == 1


@pytest.mark.parametrize("rows", [20, 50])
def test_a_mean_of_zero_is_told_from_it_no_more_often_than_it_says(rows):
    random = np.random.default_rng(2)
    wrong = [about_zero(row) <= 0.05 for row in random.normal(size=(2_000, rows))]
    assert 0.02 < np.mean(wrong) < 0.055
    assert np.mean([about_zero(row + 1) <= 0.05 for row in random.normal(size=(200, rows))]) > 0.95


def test_what_cannot_be_tested_is_refused():
    with pytest.raises(DataError, match="whole numbers"):
        sign_flips([0.5, 1])
    for test in (sign_flips, about_zero):
        with pytest.raises(DataError, match="2 values but 1"):
            test([1, 0], "a")
        with pytest.raises(DataError, match="nan"):
            test([float("nan"), 1])


def test_holm_by_hand():
    # 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1 is not below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert (holm(BENJAMINI_HOCHBERG_1995) <= 0.05).sum() == 3
    assert holm([0.6, 0.9]).tolist() == [1, 1]


def test_holm_rejects_a_true_null_no_more_often_than_it_says():
    random = np.random.default_rng(0)
    p_values = random.random((4_000, 5))
    p_values[:, :2] *= 0.001
    wrong = [(holm(row)[2:] <= 0.05).any() for row in p_values]
    assert 0.035 < np.mean(wrong) < 0.06


def test_benjamini_hochberg_by_hand():
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    adjusted = benjamini_hochberg(BENJAMINI_HOCHBERG_1995)
    assert (adjusted <= 0.05).sum() == 4
    assert adjusted[3] == pytest.approx(0.0095 * 15 / 4)
    assert adjusted == pytest.approx(false_discovery_control(BENJAMINI_HOCHBERG_1995))


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_order_does_not_matter_and_other_numbers_are_refused(adjust):
    p_values = np.random.default_rng(1).random(20)
    assert adjust(p_values[::-1])[::-1].tolist() == adjust(p_values).tolist()
    for wrong in ([-0.1, 0.5], [1.1], [float("nan")], []):
        with pytest.raises(DataError, match="p"):
            adjust(wrong)
