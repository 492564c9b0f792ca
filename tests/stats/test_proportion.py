import pytest

from gnomon.errors import DataError
from gnomon.stats.bootstrap import mean_interval
from gnomon.stats.proportion import clustered_share, wilson


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


def test_a_share_of_mixed_outcomes_is_the_bootstrap_s_over_clusters():
    outcomes, clusters = [True, True, False, True], ["a", "a", "b", "c"]
    assert clustered_share(outcomes, clusters) == mean_interval(outcomes, clusters)
    assert clustered_share(outcomes, clusters) != mean_interval(outcomes)
    assert clustered_share(outcomes, clusters).value == 0.75


@pytest.mark.parametrize("outcome", [True, False])
def test_outcomes_that_are_all_alike_leave_the_doubt_of_as_many_clusters(outcome):
    found, doubt = clustered_share([outcome] * 5, ["a", "a", "a", "b", "c"]), wilson(3 * outcome, 3)
    assert (found.value, found.low, found.high, found.n) == (outcome, doubt.low, doubt.high, 5)


@pytest.mark.parametrize(("outcomes", "clusters"), [([], []), ([True], []), ([True], ["a", "b"])])
def test_outcomes_need_a_cluster_each(outcomes, clusters):
    with pytest.raises(DataError):
        clustered_share(outcomes, clusters)
