import numpy as np
import pytest
from scipy.stats import binom

from gnomon.errors import DataError
from gnomon.stats.proportion import rule_of_three, wilson


def test_the_interval_of_15_in_20():
    found = wilson(15, 20)
    assert (found.value, found.n) == (0.75, 20)
    # Centre (0.75 + 3.8415 / 40) / 1.19207, half 1.95996 sqrt(0.75 * 0.25 / 20 + 3.8415 / 1600) / 1.19207.
    assert found.low == pytest.approx(0.5313, abs=1e-4)
    assert found.high == pytest.approx(0.8881, abs=1e-4)


def test_no_failure_still_leaves_doubt():
    assert wilson(30, 30).high == 1
    assert wilson(30, 30).low == pytest.approx(30 / (30 + 1.959964**2))
    assert wilson(0, 30).low == 0
    assert wilson(0, 30).high == pytest.approx(1 - wilson(30, 30).low)


def test_a_lower_level_is_narrower():
    assert wilson(15, 20, level=0.5).low > wilson(15, 20).low


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_impossible_counts_are_refused(successes, n):
    with pytest.raises(DataError, match="counts"):
        wilson(successes, n)


@pytest.mark.parametrize("n", [30, 100, 400])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_shares_are_covered(n, share):
    held = [wilson(k, n).low <= share <= wilson(k, n).high for k in range(n + 1)]
    assert 0.93 <= binom.pmf(np.arange(n + 1), n, share) @ held <= 0.975


def test_no_failure_in_n_bounds_their_share_by_three_in_n():
    assert rule_of_three(1).high == pytest.approx(0.95)
    found = rule_of_three(300)
    assert (found.value, found.low, found.n) == (0, 0, 300)
    assert 0.0099 < found.high < 3 / 300
    assert (1 - found.high) ** 300 == pytest.approx(0.05)
    assert rule_of_three(300, level=0.99).high > found.high
    with pytest.raises(DataError, match="at least one"):
        rule_of_three(0)
