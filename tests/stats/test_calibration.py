import pytest

from gnomon.errors import DataError
from gnomon.stats.calibration import expected_calibration_error


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
