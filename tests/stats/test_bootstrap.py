import json

import numpy as np
import pytest
from simulated import alike_within, assert_covers

from gnomon.errors import DataError
from gnomon.stats import bootstrap
from gnomon.stats.bootstrap import Estimate, mean_interval, paired_difference


def test_the_interval_of_coin_flips_is_close_to_the_normal_one():
    flips = [0.0, 1.0] * 200
    found = mean_interval(flips)
    assert found.value == 0.5
    assert found.n == 400
    assert found.low == pytest.approx(0.5 - 1.96 * 0.5 / 20, abs=0.004)
    assert found.high == pytest.approx(0.5 + 1.96 * 0.5 / 20, abs=0.004)


def test_copies_within_a_cluster_add_no_certainty():
    units = np.random.default_rng(3).normal(size=40)
    copies = np.repeat(units, 9)
    clusters = [f"c{i // 9}" for i in range(len(copies))]
    clustered, single = mean_interval(copies, clusters), mean_interval(units)
    assert (clustered.low, clustered.high) == pytest.approx((single.low, single.high))
    assert clustered.n == 360
    pretended = mean_interval(copies)
    assert pretended.high - pretended.low < 0.5 * (clustered.high - clustered.low)


def test_clusters_of_unequal_size_weigh_by_their_rows():
    # Resamples of {a, a}: 0, {b, b}: 1, {a, b}: 3/4 from a's one 0 and b's three 1s.
    found = mean_interval([0, 1, 1, 1], ["a", "b", "b", "b"])
    assert (found.value, found.low, found.high) == (0.75, 0.0, 1.0)


def test_pairing_removes_what_the_pairs_share():
    shared = np.random.default_rng(0).normal(scale=100, size=50)
    found = paired_difference(shared + 1, shared)
    assert found == Estimate(pytest.approx(1), pytest.approx(1), pytest.approx(1), 50)
    assert paired_difference([3, 5], [1, 1]).value == 3


def test_the_same_seed_gives_the_same_interval_however_it_is_chunked(monkeypatch):
    values = np.random.default_rng(1).normal(size=30)
    whole = mean_interval(values, seed=5)
    assert whole == mean_interval(values, seed=5)
    assert whole != mean_interval(values, seed=6)
    monkeypatch.setattr(bootstrap, "_CELLS", 3_000)
    assert mean_interval(values, seed=5) == whole


def test_one_unit_has_no_spread():
    assert mean_interval([2.0, 4.0], ["a", "a"]) == Estimate(3.0, 3.0, 3.0, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "non-empty"),
        ([1.0, float("nan")], r"values\[1\] is nan"),
        ([float("inf")], "inf"),
        ([[1.0]], "shape"),
    ],
)
def test_what_cannot_be_averaged_is_refused(values, message):
    with pytest.raises(DataError, match=message):
        mean_interval(values)


def test_lengths_that_differ_are_refused():
    with pytest.raises(DataError, match="2 values against 1"):
        paired_difference([1, 2], [1])
    with pytest.raises(DataError, match="2 values but 1 cluster"):
        mean_interval([1, 2], ["a"])


def test_an_estimate_is_plain_json():
    assert json.loads(json.dumps(mean_interval([1, 1, 1]).to_json())) == {
        "value": 1,
        "low": 1,
        "high": 1,
        "n": 3,
    }


def test_means_of_many_clusters_are_covered():
    clusters = np.repeat(np.arange(60), 2)
    scores = alike_within(np.random.default_rng(7), clusters, 0.5)
    keys = clusters.tolist()
    assert_covers(0, [mean_interval(row, keys, resamples=400, seed=k) for k, row in enumerate(scores)])
