import numpy as np
import pytest
from scipy.special import expit, logit, ndtr
from simulated import alike_within, assert_covers

from gnomon.errors import DataError
from gnomon.stats.calibration import Bin, calibration_interval, expected_calibration_error, reliability
from gnomon.stats.clustered import mean_clustered


def test_two_bins_weigh_by_their_rows():
    # [0.8, 0.9): three rows at 0.8, two of them true; [0.3, 0.4): one row at 0.3, false.
    error = expected_calibration_error([0.8, 0.8, 0.8, 0.3], [True, True, False, False])
    assert error == pytest.approx(3 / 4 * (0.8 - 2 / 3) + 1 / 4 * 0.3)


def test_over_and_under_confidence_cancel_within_a_bin_only():
    assert expected_calibration_error([0.5, 0.5], [True, False]) == 0
    assert expected_calibration_error([0.4, 0.6], [True, False], bins=1) == 0
    assert expected_calibration_error([0.4, 0.6], [True, False], bins=2) == pytest.approx(0.6)


def test_certainty_lies_in_the_last_bin():
    assert expected_calibration_error([1.0, 0.0], [True, False]) == 0
    assert expected_calibration_error([1.0, 0.95], [False, True]) == pytest.approx(abs(0 + 1 - 1.95) / 2)


@pytest.mark.parametrize(
    ("probabilities", "outcomes"),
    [([], []), ([0.5], [True, False]), ([float("nan")], [True]), ([1.2], [True]), ([0.5], [0.5])],
)
def test_what_is_no_probability_is_refused(probabilities, outcomes):
    with pytest.raises(DataError, match="calibration"):
        expected_calibration_error(probabilities, outcomes)


def test_where_all_bins_lean_one_way_it_is_the_interval_of_the_mean_gap():
    random = np.random.default_rng(0)
    stated = random.random(2_000) * 0.5 + 0.5
    happened = random.random(2_000) < stated - 0.4
    found, gap = calibration_interval(stated, happened), mean_clustered(stated - happened)
    assert found.value == pytest.approx(gap.value, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((gap.low, gap.high), abs=1e-9)


def test_what_chance_adds_is_taken_off_by_hand():
    # One bin, 8 rows at 0.5, 5 true: a gap of 1/8, whose standard error is sqrt((1/4 - 1/64) / 7) = 0.183.
    stated, happened = [0.5] * 8, [True] * 5 + [False] * 3
    found = calibration_interval(stated, happened, bins=1)
    error = ((1 / 4 - 1 / 64) / 7) ** 0.5
    size = error * (2 / np.pi) ** 0.5 * np.exp(-((1 / 8 / error) ** 2) / 2)
    size += 1 / 8 * (2 * ndtr(1 / 8 / error) - 1)
    assert found.value == pytest.approx(2 / 8 - size)
    assert found.low == 0
    assert found.high == pytest.approx(2 / 8 - size + 2.364624 * error, abs=1e-5)


def test_copies_within_a_cluster_add_no_certainty():
    stated = np.linspace(0.05, 0.95, 40)
    happened = np.random.default_rng(1).random(40) < stated**3
    copies = calibration_interval(stated.repeat(5), happened.repeat(5), np.arange(40).repeat(5).tolist())
    single = calibration_interval(stated, happened)
    assert (copies.value, copies.low, copies.high) == pytest.approx((single.value, single.low, single.high))


def test_nothing_but_certain_truths_is_calibrated():
    found = calibration_interval([1.0, 1.0, 0.0], [True, True, False])
    assert (found.value, found.low, found.high) == (0, 0, 0)
    with pytest.raises(DataError, match="two clusters"):
        calibration_interval([0.5, 0.6], [True, False], ["a", "a"])


def stated_and_truth(random, shape, slope):
    """Probabilities whose logits are `1 / slope` times what they should be, and their ECE in ten bins."""
    many = random.beta(1.2, 1.2, size=400_000)
    gaps = np.bincount((many * 10).astype(int), weights=expit(slope * logit(many)) - many)
    return random.beta(1.2, 1.2, size=shape), float(np.abs(gaps).sum() / many.size)


@pytest.mark.parametrize("slope", [1.0, 0.9, 0.6, 0.3])
@pytest.mark.parametrize("rows", [150, 600])
def test_calibration_errors_are_covered(rows, slope):
    random = np.random.default_rng(2)
    stated, truth = stated_and_truth(random, (1_500, rows), slope)
    happened = random.random(stated.shape) < expit(slope * logit(stated))
    assert_covers(truth, [calibration_interval(*row) for row in zip(stated, happened, strict=True)])


@pytest.mark.parametrize("slope", [1.0, 0.5])
def test_calibration_errors_of_clusters_are_covered(slope):
    random = np.random.default_rng(3)
    clusters = np.arange(60).repeat(5)
    stated, truth = stated_and_truth(random, (1_500, 60), slope)
    stated, keys = stated[:, clusters], clusters.tolist()
    happened = ndtr(alike_within(random, clusters, 0.6)[:1_500]) < expit(slope * logit(stated))
    assert_covers(truth, [calibration_interval(*row, keys) for row in zip(stated, happened, strict=True)])


def test_a_reliability_curve_has_a_point_for_each_bin_that_is_not_empty():
    points = reliability([0.05, 0.15, 0.85, 0.95, 0.95], [False, True, True, True, False], bins=2)
    assert points == [
        Bin(pytest.approx(0.1), 0.5, 2),
        Bin(pytest.approx(2.75 / 3), pytest.approx(2 / 3), 3),
    ]


def test_a_reliability_curve_adds_up_to_the_calibration_error():
    stated, happened = [0.1, 0.3, 0.35, 0.6, 0.62, 0.9], [False, True, False, True, False, True]
    points = reliability(stated, happened, bins=4)
    gap = sum(point.n * abs(point.happened - point.stated) for point in points) / 6
    assert gap == pytest.approx(expected_calibration_error(stated, happened, bins=4))
