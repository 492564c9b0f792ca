import math

import numpy as np
import pytest

from gnomon.errors import DataError
from gnomon.stats.overopt import Course, Curve, fit, fit_courses, turn

FAR = np.array([0.5, 1.0, 2.0, 3.0, 4.0])


def test_worked_numbers_of_both_forms():
    """Best of n: 2 (1 - 0.2 * 2), highest at 1 / 0.4. RL: e (1 - 0.5) at e, highest at e^(2 - 1)."""
    best, rl = Curve("best_of_n", 1.0, 0.2), Curve("rl", 1.0, 0.5)
    assert best.gain(np.array([0.0, 2.0])) == pytest.approx([0.0, 1.2])
    assert rl.gain(np.array([0.0, math.e])) == pytest.approx([0.0, math.e / 2])
    assert best.peak == pytest.approx(2.5)
    assert rl.peak == pytest.approx(math.e)


@pytest.mark.parametrize("form", ["best_of_n", "rl"])
def test_the_peak_is_where_the_curve_is_highest(form):
    curve = Curve(form, 1.3, 0.4)
    near = np.array([0.99, 1.0, 1.01]) * curve.peak
    low, high, also_low = curve.gain(near)
    assert high > max(low, also_low)


def test_what_does_not_bend_has_no_peak():
    assert Curve("rl", 1.0, 0.0).peak == math.inf
    assert Curve("best_of_n", 1.0, -0.1).peak == math.inf
    assert Curve("best_of_n", -1.0, 0.1).peak == 0.0
    assert Curve("rl", 1.0, 1e-9).peak > 1e300


@pytest.mark.parametrize("form", ["best_of_n", "rl"])
def test_a_curve_is_found_again_from_its_points(form):
    found = fit(form, FAR, Curve(form, 0.8, 0.15).gain(FAR))
    assert (found.alpha, found.beta) == (pytest.approx(0.8), pytest.approx(0.15))


def test_the_forms_are_told_apart():
    """d (alpha - beta d), which circulates as RL's form too, is off on points of d (alpha - beta ln d)."""
    gains = Curve("rl", 0.8, 0.3).gain(FAR)
    other = fit("best_of_n", FAR, gains)
    assert abs(other.gain(FAR) - gains).max() > 0.02


def test_weights_say_which_points_count():
    gains = Curve("best_of_n", 1.0, 0.2).gain(FAR)
    gains[-1] += 5.0
    weights = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    assert fit("best_of_n", FAR, gains, weights).beta == pytest.approx(0.2)
    assert fit("best_of_n", FAR, gains).beta < 0.0


@pytest.mark.parametrize("distances", [[1.0], [2.0, 2.0, 2.0], []])
def test_too_few_distances_are_refused(distances):
    with pytest.raises(DataError, match="do not tell how gold bends"):
        fit("best_of_n", np.array(distances), np.ones(len(distances)))


def noisy(form, seed, prompts=24, noise=0.3):
    """A climb on a planted curve, whose prompts differ from it by a slope of their own and by noise."""
    rng = np.random.default_rng(seed)
    distances = np.linspace(0, 4, 12)
    gains = Curve(form, 0.8, 0.2).gain(distances)[:, None]
    slopes = rng.normal(0, noise, size=prompts) * distances[:, None]
    return Course(distances, gains + slopes + rng.normal(0, 0.1, size=(12, prompts)))


@pytest.mark.parametrize("form", ["best_of_n", "rl"])
def test_intervals_hold_the_truth(form):
    """Of 40 studies of three climbs, about 95 % of the intervals; binomially, hardly ever fewer than 33."""
    held = {"alpha": 0, "beta": 0, "peak": 0}
    truth = {"alpha": 0.8, "beta": 0.2, "peak": Curve(form, 0.8, 0.2).peak}
    for seed in range(40):
        found = fit_courses(form, [noisy(form, 3 * seed + k) for k in range(3)], away=0.3, resamples=200)
        for name, value in truth.items():
            estimate = getattr(found, name)
            held[name] += estimate.low <= value <= estimate.high
    assert min(held.values()) >= 33
    assert found.explained > 0.9


def test_every_climb_weighs_the_same():
    """One that was measured ten times as often counts no more."""
    seldom = np.linspace(0.5, 4, 8)
    often = np.tile(seldom, 10)
    one = Course(often, np.repeat(Curve("best_of_n", 1.0, 0.2).gain(often)[:, None], 2, axis=1))
    other = Course(seldom, np.repeat(Curve("best_of_n", 2.0, 0.4).gain(seldom)[:, None], 2, axis=1))
    found = fit_courses("best_of_n", [one, other], resamples=2)
    assert found.alpha.value == pytest.approx(1.5)


def test_points_near_the_start_are_left_out_of_rl():
    """A start that is steeper than the form knows moves nothing."""
    plain = noisy("rl", 0, noise=0.0)
    moved = Course(plain.distances, plain.gains + np.where(plain.distances < 0.5, 3.0, 0.0)[:, None])
    ours, same = (fit_courses("rl", [own], away=0.5, resamples=2) for own in (moved, plain))
    assert ours.beta.value == same.beta.value
    assert fit_courses("rl", [moved], away=0.0, resamples=2).beta.value != same.beta.value


def test_a_peak_without_an_end_is_null_in_json():
    """Of a straight line half of the resamples bend up."""
    distances = np.linspace(0.5, 3, 8)
    slopes = np.random.default_rng(0).normal(1, 0.2, size=(1, 10)) * distances[:, None]
    bent = Course(distances, slopes + np.random.default_rng(1).normal(0, 0.5, size=(8, 10)))
    told = fit_courses("best_of_n", [bent], resamples=100).to_json()
    assert told["peak"]["high"] is None
    assert told["alpha"]["value"] == pytest.approx(1.0, abs=0.5)


def test_a_course_has_a_row_of_prompts_for_each_point():
    with pytest.raises(DataError, match="each point has a row"):
        Course(np.zeros(3), np.zeros((2, 4)))


def test_a_turn():
    """Up by 2 from the start, and a quarter of that gone; a fall below the start is more than all of it."""
    assert turn(np.array([1.0, 2.0, 3.0, 2.5])) == (2, 2.0, 0.25)
    assert turn(np.array([1.0, 2.0, 0.0])).lost == 2.0
    assert turn(np.array([1.0, 0.5])) == (0, 0.0, 0.0)
