import numpy as np
import pytest
from simulated import TIMES, alike_within, assert_covers, coverage

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.clustered import (
    degrees_of_freedom,
    difference_clustered,
    linear_interval,
    mean_clustered,
    minimum_detectable,
    standard_error,
    variance_clustered,
)

EVEN = np.repeat(np.arange(20), 4)
UNEVEN = np.repeat(np.arange(20), np.ceil(20 / np.arange(1, 21)).astype(int))
"""Clusters of 20, 10, 7, 5, 4, 4, 3, 3, 3, 2 ... 2 and 1 rows."""


def test_the_clustered_standard_error_by_hand():
    # Mean 3/4; the clusters' sums of deviations are 1/4 - 3/4 = -1/2 and 1/4 + 1/4 = 1/2.
    assert standard_error([1, 0, 1, 1], ["a", "a", "b", "b"]) == pytest.approx((0.5 / 16) ** 0.5)
    # Rows of their own: 3 * (1/4)^2 + (3/4)^2 = 3/4.
    assert standard_error([1, 0, 1, 1]) == pytest.approx((0.75 / 16) ** 0.5)


def test_without_clusters_it_is_students_interval():
    found = mean_clustered([1, 2, 3, 4, 5])
    assert (found.value, found.n) == (3, 5)
    assert found.high - 3 == pytest.approx(2.776445 * (2.5 / 5) ** 0.5, abs=1e-5)
    assert found.low + found.high == pytest.approx(6)


def test_the_interval_of_clusters_of_unequal_size_by_hand():
    # Mean 2; sums of deviations -2, 1, 1 over 4; shares 1/2, 1/4, 1/4: 1/4 / (1/2) + 2 (1/16) / (3/4) = 2/3.
    found = mean_clustered([1, 1, 3, 3], ["a", "a", "b", "c"], level=0.9)
    degrees = 1 / (3 / 8 + (2 / 3) ** 2 - (1 / 4 + 2 / 144))
    assert degrees_of_freedom(np.array([0.5, 0.25, 0.25])) == pytest.approx(degrees) == pytest.approx(1.8)
    # Student's 95 % quantile is 2.9200 at 2 degrees of freedom and 6.3138 at 1.
    assert 2.92 < (found.high - found.value) / (2 / 3) ** 0.5 < 6.31


def test_the_variance_behind_it_by_hand():
    variance, degrees = variance_clustered(np.array([1.0, 1.0, 3.0, 3.0]), ["a", "a", "b", "c"])
    assert (variance, degrees) == pytest.approx((2 / 3, 1.8))
    with pytest.raises(DataError, match="at least two clusters"):
        variance_clustered(np.array([1.0, 2.0]), ["a", "a"])


def test_clusters_of_one_size_have_one_degree_of_freedom_less():
    assert degrees_of_freedom(np.full(20, 0.05)) == pytest.approx(19)


def test_copies_within_a_cluster_add_no_certainty():
    units = np.random.default_rng(3).normal(size=40)
    copies, clusters = np.repeat(units, 9), np.repeat(np.arange(40), 9)
    clustered, single = mean_clustered(copies, clusters), mean_clustered(units)
    assert (clustered.low, clustered.high) == pytest.approx((single.low, single.high))
    assert clustered.n == 360


def test_pairing_removes_what_the_pairs_share():
    shared = np.random.default_rng(0).normal(scale=100, size=50)
    found = difference_clustered(shared + [1, 3] * 25, shared)
    assert found.value == pytest.approx(2)
    assert found.high - 2 == pytest.approx(2.009575 / 49**0.5, abs=1e-5)
    with pytest.raises(DataError, match="2 values against 1"):
        difference_clustered([1, 2], [1])


def test_an_estimate_needs_only_the_influence_of_its_rows():
    values = np.array([1.0, 2.0, 6.0])
    assert linear_interval(3.0, values - 3) == mean_clustered(values)
    assert linear_interval(3.0, values) == mean_clustered(values), "what all rows share is no error"


@pytest.mark.parametrize("clusters", [["a", "a"], [0, 0]])
def test_one_cluster_shows_no_spread(clusters):
    with pytest.raises(DataError, match="two clusters"):
        mean_clustered([1, 2], clusters)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    "clusters", [EVEN, UNEVEN, np.repeat(np.arange(50), 3)], ids=["even", "uneven", "50"]
)
def test_means_are_covered(clusters, correlation):
    scores = alike_within(np.random.default_rng(1), clusters, correlation)
    keys = clusters.tolist()
    assert_covers(0, [mean_clustered(row, keys) for row in scores])


@pytest.mark.parametrize("rows", [20, 200])
def test_rates_are_covered_and_so_are_their_differences(rows):
    random = np.random.default_rng(2)
    skill = random.random((TIMES, rows))
    first, second = (
        skill < 0.7,
        np.where(random.random((TIMES, rows)) < 0.5, skill, random.random((TIMES, rows))) < 0.6,
    )
    assert_covers(0.7, [mean_clustered(row) for row in first])
    assert_covers(0.1, [difference_clustered(*pair) for pair in zip(first, second, strict=True)])


def test_forgetting_clusters_covers_too_little():
    scores = alike_within(np.random.default_rng(1), UNEVEN, 0.3)
    assert coverage(0, [mean_clustered(row) for row in scores]) < 0.8
    normal = []
    for row in scores:
        half = 1.96 * standard_error(row, UNEVEN.tolist())
        normal.append(Estimate(row.mean(), row.mean() - half, row.mean() + half, row.size))
    assert coverage(0, normal) < 0.9


def test_the_least_difference_told_from_none_by_hand():
    # (1.9600 + 0.8416) times a standard error of 0.01.
    null = Estimate(0.0, -0.0196, 0.0196, 400)
    assert minimum_detectable(null) == pytest.approx(0.02802, abs=1e-5)
    assert minimum_detectable(null, power=0.5) == pytest.approx(0.0196)
    with pytest.raises(DataError, match="between 0 and 1"):
        minimum_detectable(null, power=1)


def test_a_difference_of_that_size_is_found_as_often_as_promised():
    keys = EVEN.tolist()
    noise = alike_within(np.random.default_rng(4), EVEN, 0.3)
    # Each cluster's mean of four has variance 0.3 + 0.7 / 4, and there are 20.
    half = 2.093 * (0.475 / 20) ** 0.5
    least = minimum_detectable(Estimate(0.0, -half, half, EVEN.size))
    found = [mean_clustered(row + least, keys).low > 0 for row in noise]
    assert 0.77 < np.mean(found) < 0.83
