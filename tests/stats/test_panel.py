import math

import numpy as np
import pytest

from gnomon.errors import DataError
from gnomon.stats.panel import correlation, influence, revealed

NAN = math.nan


def test_correlation_about_zero_in_worked_numbers():
    """(1*2 + 2*1 + 2*2) / sqrt((1 + 4 + 4)(4 + 1 + 4)) = 8/9."""
    found = correlation(np.array([1.0, 2.0, -2.0]), np.array([2.0, 1.0, -2.0]))
    assert found.value == pytest.approx(8 / 9)
    assert found.low <= found.value <= found.high <= 1


def test_turning_a_pair_round_changes_no_correlation():
    rng = np.random.default_rng(0)
    x, y = rng.normal(1.0, 1.0, (2, 50))
    signs = rng.choice([-1.0, 1.0], 50)
    assert correlation(signs * x, signs * y).value == pytest.approx(correlation(x, y).value)


def test_two_that_say_the_same_or_the_opposite():
    x = np.array([1.0, -2.0, 3.0, 0.5])
    assert correlation(x, 2 * x).value == pytest.approx(1.0)
    assert correlation(x, -x).high == pytest.approx(-1.0)


def test_rows_that_one_was_not_asked_about_do_not_count():
    x, y = np.array([1.0, 2.0, 9.0, NAN]), np.array([1.0, -2.0, NAN, 5.0])
    assert correlation(x, y).n == 2
    assert correlation(x, y).value == pytest.approx((1 - 4) / 5)


def test_its_interval_covers_and_clusters_widen_it():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        z = rng.normal(size=(2, 60))
        x, y = z[0], 0.5 * z[0] + math.sqrt(0.75) * z[1]
        found = correlation(x, y)
        hits += found.low <= 0.5 <= found.high
    assert 0.90 <= hits / 300 <= 0.98
    x, y = np.repeat(rng.normal(size=(2, 12)), 5, axis=1)
    clustered = correlation(x, y, [i // 5 for i in range(60)])
    apart = correlation(x, y)
    assert clustered.high - clustered.low > 1.5 * (apart.high - apart.low)


def test_nothing_to_correlate_is_said():
    for x in ([0.0, 0.0], [NAN, 1.0]):
        with pytest.raises(DataError, match="no pair on which both say something"):
            correlation(np.array(x), np.array([1.0, NAN]))


def test_influence_in_worked_numbers():
    """Row 1: 0.9, 0.4, 0.4 has the mean 0.567, and 0.4 without the first. Row 2: 0.9 and 0.9. Row 3: one."""

    def odds(p):
        return math.log(p / (1 - p))

    rows = [[odds(0.9), odds(0.4), odds(0.4)], [odds(0.9), odds(0.9), NAN], [odds(0.2), NAN, NAN]]
    found = influence(np.array(rows))
    assert found.rows.tolist() == [2, 2, 1]
    assert found.turned.tolist() == [0.5, 0.0, 0.0]
    assert found.moved == pytest.approx([(1.7 / 3 - 0.4) / 2, (0.65 - 1.7 / 3) / 2, 0.65 - 1.7 / 3])


def planted(n=400, seed=0, pull=(1.5, 0.0, -1.0)):
    """Three members' log-odds, and preferences that two of them pull at."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=(n, 3))
    better = rng.random(n) < 1 / (1 + np.exp(-(odds @ np.array(pull))))
    return odds, better.astype(float)


def test_what_pulls_at_preferences_is_found_with_its_sign():
    odds, better = planted()
    with_it, nothing, against = revealed(odds, better)
    assert with_it.value == pytest.approx(1.5, abs=0.4)
    assert with_it.low > 0.8
    assert nothing.low < 0 < nothing.high
    assert against.high < -0.5


def test_units_of_log_odds_do_not_matter_nor_does_which_answer_stands_first():
    odds, better = planted(120)
    found = [e.value for e in revealed(odds, better, resamples=5)]
    scaled = [e.value for e in revealed(odds * np.array([10.0, 0.1, 3.0]), better, resamples=5)]
    assert scaled == pytest.approx(found, abs=1e-4)
    turned = np.random.default_rng(3).random(120) < 0.5
    signs = np.where(turned, -1.0, 1.0)
    again = revealed(odds * signs[:, None], np.where(turned, 1 - better, better), resamples=5)
    assert [e.value for e in again] == pytest.approx(found, abs=1e-4)


def test_a_member_that_decides_all_by_itself_has_a_finite_pull_and_one_not_asked_none():
    odds, _ = planted(60)
    odds[:, 1] = NAN
    first, second, _ = revealed(odds, (odds[:, 0] > 0).astype(float), resamples=20)
    assert 1 < first.value < 30
    assert (second.value, second.n) == (0.0, 0)


def test_clusters_are_drawn_whole():
    odds, better = planted(40)
    often = np.repeat(odds, 10, axis=0), np.repeat(better, 10)
    clustered = revealed(*often, [i // 10 for i in range(400)])[0]
    apart = revealed(*often)[0]
    assert clustered.high - clustered.low > 2 * (apart.high - apart.low)


def test_what_is_no_preference_is_refused():
    odds, better = planted(5)
    with pytest.raises(DataError, match=r"lie in \[0, 1\]"):
        revealed(odds, better + 1)
    with pytest.raises(DataError, match="5 rows of log-odds, 2 preferences"):
        revealed(odds, better[:2])


def test_where_nobody_says_anything_nobody_pulls():
    found = revealed(np.zeros((9, 2)), np.ones(9), resamples=5)
    assert [(e.value, e.low, e.high) for e in found] == [(0.0, 0.0, 0.0)] * 2
