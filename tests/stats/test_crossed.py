import numpy as np
import pytest
from simulated import TIMES, alike_within, assert_covers, coverage

from gnomon.errors import DataError
from gnomon.stats.clustered import mean_clustered
from gnomon.stats.crossed import mean_crossed


def drawn(seeds, between, clusters, within=0.0):
    """[TIMES, seeds, rows] with mean 0: what each row has of its own, each seed, and each answer."""
    random = np.random.default_rng(seeds)
    rows = alike_within(random, clusters, within)[:, None]
    answers = np.stack([alike_within(random, clusters, within) for _ in range(seeds)], axis=1)
    return rows / 2 + between * random.normal(size=(TIMES, seeds, 1)) + answers


def test_by_hand_where_seeds_are_all_there_is():
    # Seeds' means 1, 2 and 3: variance 1 over 3; rows do not differ, so nothing else is left to chance.
    found = mean_crossed([[1, 1], [2, 2], [3, 3]])
    assert (found.value, found.n) == (2, 2)
    assert found.high - 2 == pytest.approx(4.302653 * 3**-0.5, abs=1e-5)


def test_by_hand_where_both_differ():
    # Rows' means 1, 2, 3: 1 / 3. Seeds' means 1.5 and 2.5: 0.5 / 2. What is left is 0: 7 / 12 in all.
    found = mean_crossed([[0.5, 1.5, 2.5], [1.5, 2.5, 3.5]])
    degrees = (7 / 12) ** 2 / ((1 / 3) ** 2 / 2 + (1 / 4) ** 2 / 1)
    assert 2 < degrees < 3
    assert 3.1824 < (found.high - 2) / (7 / 12) ** 0.5 < 4.3027  # Student's at 3 and at 2


def test_one_seed_is_a_mean_over_rows():
    values, clusters = [1, 4, 2, 8, 5], ["a", "a", "b", "c", "c"]
    assert mean_crossed([values], clusters) == mean_clustered(values, clusters)


def test_seeds_that_say_the_same_add_no_certainty():
    values = np.random.default_rng(1).normal(size=30)
    one, three = mean_clustered(values), mean_crossed([values] * 3)
    assert (three.low, three.high) == pytest.approx((one.low, one.high))


def test_values_that_are_all_the_same_leave_no_doubt():
    assert mean_crossed([[2, 2], [2, 2]]).to_json() == {"value": 2, "low": 2, "high": 2, "n": 2}


@pytest.mark.parametrize("between", [0.0, 0.05, 0.2])
def test_it_covers_whether_seeds_matter_or_not(between):
    found = [mean_crossed(values) for values in drawn(5, between, np.arange(100))]
    assert_covers(0, found)


def test_three_seeds_that_differ_much_are_covered_nearly_as_often():
    found = [mean_crossed(values) for values in drawn(3, 0.2, np.arange(100))]
    assert 0.91 <= coverage(0, found) <= 0.97


def test_rows_alone_would_not_cover():
    found = [mean_clustered(values.mean(axis=0)) for values in drawn(3, 0.2, np.arange(100))]
    assert coverage(0, found) < 0.75


def test_rows_of_a_cluster_are_not_taken_for_several():
    clusters = np.repeat(np.arange(40), 3)
    many = drawn(4, 0.05, clusters, within=0.9)
    assert_covers(0, [mean_crossed(values, clusters.tolist()) for values in many])
    assert coverage(0, [mean_crossed(values) for values in many]) < 0.92


@pytest.mark.parametrize(
    ("values", "told"),
    [([], "seeds have"), ([[1, 2], [1]], "1, 2"), ([[1, float("nan")], [1, 2]], "nan"), ([[1], [2]], "two")],
)
def test_what_it_cannot_tell_is_said(values, told):
    with pytest.raises(DataError, match=told):
        mean_crossed(values)
