import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binom
from simulated import alike_within, assert_covers, coverage

from gnomon.errors import DataError
from gnomon.stats.clustered import mean_clustered
from gnomon.stats.proportion import rule_of_three, wilson, wilson_clustered


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


def test_clusters_are_worth_fewer_rows_by_hand():
    # Four clusters of two alike, three of them 1: SE^2 = 3/16 / 3 is that of three rows; t of 3 is 3.182446.
    found = wilson_clustered([1, 1, 1, 1, 1, 1, 0, 0], list("aabbccdd"))
    doubt = 3.182446**2 / 3
    assert (found.value, found.n) == (0.75, 8)
    half = (3 / 16 * doubt + doubt**2 / 4) ** 0.5
    assert found.low == pytest.approx((0.75 + doubt / 2 - half) / (1 + doubt), abs=1e-6)
    assert found.high == pytest.approx((0.75 + doubt / 2 + half) / (1 + doubt), abs=1e-6)


def test_many_rows_that_stand_alone_are_wilsons():
    found, plain = wilson_clustered([1, 0, 1, 1] * 500), wilson(1500, 2000)
    assert (found.value, found.low, found.high) == pytest.approx((0.75, plain.low, plain.high), abs=1e-4)


def test_no_failure_among_clusters_still_leaves_doubt():
    # t of 9 squared over ten clusters; copies of their rows change nothing.
    doubt = 2.262157**2 / 10
    found = wilson_clustered([1] * 20, [k // 2 for k in range(20)])
    assert found.low == pytest.approx(1 / (1 + doubt), abs=1e-6)
    assert found.high == 1
    assert wilson_clustered([0] * 10).high == pytest.approx(1 - found.low)


@pytest.mark.parametrize(("share", "correlation"), [(0.5, 0.3), (0.85, 0.0), (0.85, 0.3), (0.95, 0.3)])
def test_shares_of_clusters_are_covered(share, correlation):
    clusters = np.repeat(np.arange(40), np.arange(40) % 5 + 1)
    passed = alike_within(np.random.default_rng(1), clusters, correlation) < ndtri(share)
    keys = clusters.tolist()
    assert_covers(share, [wilson_clustered(row, keys) for row in passed])


def test_rare_failures_of_whole_clusters_are_covered_where_the_means_interval_is_far_off():
    clusters = np.repeat(np.arange(20), np.arange(20) % 3 + 1)
    passed = alike_within(np.random.default_rng(1), clusters, 1.0) < ndtri(0.95)
    keys = clusters.tolist()
    assert coverage(0.95, [wilson_clustered(row, keys) for row in passed]) > 0.93
    assert coverage(0.95, [mean_clustered(row, keys) for row in passed]) < 0.75


def test_outcomes_lie_in_bounds():
    with pytest.raises(DataError, match="in \\[0, 1\\]"):
        wilson_clustered([0.5, 1.5])
