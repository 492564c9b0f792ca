import numpy as np
import pytest

from gnomon.errors import DataError
from gnomon.stats.within import mean_at, slope_within


def test_worked_numbers():
    # about the means: lengths -1, 1 and -2, 2; scores -3, 3 and 1, -1: (3 + 3 - 2 - 2) / (1 + 1 + 4 + 4)
    scores, lengths = np.array([[0.0, 6.0], [8.0, 6.0]]), np.array([[4.0, 6.0], [1.0, 5.0]])
    assert slope_within(scores, lengths) == pytest.approx(2 / 10)


def test_what_differs_between_groups_is_no_bias():
    lengths = np.array([[1.0, 2.0], [101.0, 102.0]])
    scores = np.array([[0.0, 0.5], [70.0, 70.5]])
    assert slope_within(scores, lengths) == pytest.approx(0.5)


def test_what_is_left_has_no_slope():
    generator = np.random.default_rng(0)
    scores, lengths = generator.normal(size=(2, 50, 3))
    slope = slope_within(scores, lengths)
    assert slope_within(scores - slope * lengths, lengths) == pytest.approx(0.0, abs=1e-12)


def test_answers_of_one_length_have_none():
    assert slope_within(np.array([[1.0, 5.0]]), np.array([[7.0, 7.0]])) == 0.0


def test_shapes_that_differ_are_refused():
    with pytest.raises(DataError, match="shape"):
        slope_within(np.zeros((2, 2)), np.zeros((2, 3)))


def test_the_mean_at_a_length_takes_off_what_being_longer_is_worth():
    # the slope of the first test is 0.2, and lengths are 1, 3, -2, 2 away from 3, which is 4 in all: 0.8
    scores, lengths = np.array([[0.0, 6.0], [8.0, 6.0]]), np.array([[4.0, 6.0], [1.0, 5.0]])
    assert mean_at(scores, lengths, 3.0) == pytest.approx((20 - 0.2 * 4) / 4)
    assert mean_at(scores, lengths, float(lengths.mean())) == pytest.approx(5.0)


def test_answers_that_only_grew_are_worth_what_they_were():
    short = np.array([[10.0, 20.0], [30.0, 20.0]])
    longer = short + 15
    assert mean_at(0.1 * longer, longer, 20.0) == pytest.approx(mean_at(0.1 * short, short, 20.0))
