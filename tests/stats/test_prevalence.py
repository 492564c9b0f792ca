import numpy as np
import pytest
from simulated import TIMES, assert_covers

from gnomon.errors import DataError
from gnomon.stats.prevalence import Count, prevalence


def test_prevalence_by_hand():
    found = prevalence(Count(30, 100), Count(45, 50), Count(40, 50))
    assert found.value == pytest.approx((0.3 + 0.8 - 1) / 0.7)
    assert found.n == 100
    # z^2 = 3.8415 pseudo-rows make 0.3 into 31.9207 / 103.8415, 2 make the others 46 / 52 and 41 / 52.
    apparent, true, silent = 0.307399, 46 / 52, 41 / 52
    share = (apparent + silent - 1) / (true + silent - 1)
    assert share == pytest.approx(0.142421, abs=1e-6)
    # Variances 0.0020503, 0.0019629 and 0.0032075; the shift is 7.6829 (0.00027956 - 0.00275068) = -0.018985.
    spread = 0.0020503 + share**2 * 0.0019629 + (1 - share) ** 2 * 0.0032075
    half = 1.959964 * spread**0.5 / (true + silent - 1)
    assert found.low == 0
    assert found.high == pytest.approx(share - 0.018985 + half, abs=1e-4)


def test_a_judge_that_never_errs_leaves_the_share_it_flagged():
    found = prevalence(Count(300, 1000), Count(10**6, 10**6), Count(10**6, 10**6))
    assert found.value == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((0.2725, 0.3294), abs=5e-4), "Agresti and Coull's"


def test_what_is_so_and_what_is_not_change_places():
    found = prevalence(Count(120, 200), Count(50, 60), Count(70, 80))
    other = prevalence(Count(80, 200), Count(70, 80), Count(50, 60))
    assert (found.value, found.low) == pytest.approx((1 - other.value, 1 - other.high))


def test_shares_stay_within_bounds():
    assert prevalence(Count(2, 100), Count(45, 50), Count(40, 50)).value == 0
    assert prevalence(Count(99, 100), Count(45, 50), Count(40, 50)).high == 1


@pytest.mark.parametrize("rates", [(0.9, 0.85), (0.75, 0.8)])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8])
def test_prevalences_are_covered(share, rates):
    random = np.random.default_rng(1)
    sensitivity, specificity = rates
    flagged = random.binomial(500, share * sensitivity + (1 - share) * (1 - specificity), TIMES)
    true, silent = random.binomial(60, sensitivity, TIMES), random.binomial(60, specificity, TIMES)
    found = [
        prevalence(Count(f, 500), Count(t, 60), Count(s, 60))
        for f, t, s in zip(flagged.tolist(), true.tolist(), silent.tolist(), strict=True)
    ]
    assert_covers(share, found)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((Count(3, 2), Count(9, 10), Count(9, 10)), "flagged has 3 of 2"),
        ((Count(1, 2), Count(0, 0), Count(9, 10)), "sensitivity has 0 of 0"),
        ((Count(1, 2), Count(5, 10), Count(5, 10)), "no more often"),
        ((Count(1, 2), Count(9, 10), Count(110, 1000)), "no more often"),
    ],
)
def test_what_no_prevalence_follows_from_is_refused(counts, message):
    with pytest.raises(DataError, match=message):
        prevalence(*counts)
