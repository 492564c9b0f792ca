import numpy as np
import pytest
from scipy.stats import binom, false_discovery_control

from gnomon.errors import DataError
from gnomon.stats.significance import benjamini_hochberg, holm, mcnemar

BENJAMINI_HOCHBERG_1995 = [
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
    *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
]
"""The fifteen p-values of section 3.2 there: theirs rejects four at 0.05, Bonferroni's three."""


def test_mcnemar_of_one_against_seven():
    # Fagerland et al. (2013): airway responsiveness before and after, 0.070 and mid-p 0.039.
    assert mcnemar(1, 7) == mcnemar(7, 1) == pytest.approx(2 * 9 / 256)
    assert mcnemar(1, 7, mid_p=True) == pytest.approx(2 * 9 / 256 - 8 / 256)


def test_pairs_that_lean_to_no_side():
    assert mcnemar(0, 0) == mcnemar(0, 0, mid_p=True) == mcnemar(3, 3) == 1
    assert mcnemar(3, 3, mid_p=True) == pytest.approx(1 - 20 / 64 / 2)
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(0, 5, mid_p=True) == pytest.approx(1 / 32)


@pytest.mark.parametrize("pairs", [10, 25, 40])
def test_the_exact_test_errs_no_more_than_it_says_and_mid_p_less_cautiously(pairs):
    chances = binom.pmf(np.arange(pairs + 1), pairs, 0.5)
    exact = sum(p for k, p in enumerate(chances) if mcnemar(k, pairs - k) <= 0.05)
    mid = sum(p for k, p in enumerate(chances) if mcnemar(k, pairs - k, mid_p=True) <= 0.05)
    assert 0.02 < exact <= 0.05
    assert exact <= mid < 0.06


def test_counts_are_not_negative():
    with pytest.raises(DataError, match="at least 0"):
        mcnemar(-1, 3)


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
