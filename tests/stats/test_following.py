"""How a second score follows the first among answers to one prompt: sums that can be done by hand."""

import numpy as np
import pytest

from gnomon.errors import DataError
from gnomon.stats.following import following

PROXY = np.array([[0.0, 2.0], [0.0, 6.0]])
SECOND = np.array([[1.0, 5.0], [6.0, 0.0]])


def test_worked_numbers():
    """Covariances of 2 and -9 beside variances of 1 and 9 of the proxy, 5 in the mean."""
    told = following(PROXY, SECOND)
    assert told.agreement == pytest.approx([1.0, -1.0])
    assert told.slope == pytest.approx([0.4, -1.8])
    assert told.slope.mean() == pytest.approx((2 - 9) / (1 + 9))


def test_correlation_is_of_samples_about_their_prompt_s_mean():
    """1, 2, 6 beside 1, 3, 2: deviations of -2, -1, 3 and -1, 1, 0 give 1 over the root of 14 times 2."""
    told = following(np.array([[1.0, 2.0, 6.0]]), np.array([[1.0, 3.0, 2.0]]))
    assert told.agreement == pytest.approx([1 / np.sqrt(28)])
    assert told.slope == pytest.approx([1 / 14])


def test_what_is_not_told_apart_agrees_with_nothing():
    level = np.array([[0.1, 0.1, 0.1], [1.0, 2.0, 3.0]])
    told = following(level, level)
    assert np.isnan(told.agreement[0])
    assert told.agreement[1] == pytest.approx(1.0)
    assert following(level[:1], np.array([[1.0, 2.0, 3.0]])).slope == pytest.approx([0.0])


def test_what_a_prompt_is_worth_and_the_units_change_no_agreement():
    rng = np.random.default_rng(0)
    proxy, second = rng.normal(size=(2, 5, 7))
    plain = following(proxy, second)
    moved = following(2 * proxy + rng.normal(size=(5, 1)), 3 * second + rng.normal(size=(5, 1)))
    assert moved.agreement == pytest.approx(plain.agreement)
    assert moved.slope == pytest.approx(1.5 * plain.slope)


def test_scores_of_other_shapes_are_refused():
    with pytest.raises(DataError, match=r"\[prompts, samples\] both"):
        following(PROXY, SECOND[:1])
