"""Alarms: worked numbers, what they hold on clean runs, what they find on runs that turn."""

from math import sqrt

import numpy as np
import pytest
from scipy.stats import t as student

from gnomon.errors import DataError
from gnomon.stats.agreement import agreement_by_prompt
from gnomon.stats.alarms import FEWEST, RULES, Alarm, Point, alarms, judged, pooled, rests

LOOKS = 10
FAST = 2_000
"""Resamples of a run that is simulated hundreds of times."""


def point(step, **figures):
    """Of each figure a list with one value for each prompt."""
    return Point(
        step, {name: {f"p{i}": float(v) for i, v in enumerate(own)} for name, own in figures.items()}
    )


def renamed(given, prefix):
    """The same figures of other prompts."""
    figures = {name: {prefix + p: v for p, v in own.items()} for name, own in given.figures.items()}
    return Point(given.step, figures)


def first_alarm(points, looks=LOOKS, **more):
    """The first alarm of a run that is looked at after each point, or None."""
    for k in range(2, len(points) + 1):
        if found := alarms(points[:k], looks=looks, **more):
            return found[0]
    return None


BEFORE = [10, 20, 30, 40, 50, 60, 70, 80]
NOW = [31, 38, 62, 78, 93, 122, 139, 157]
"""Their mean is 90 beside 45: differences of 21, 18, 32, 38, 43, 62, 69, 77."""


def test_the_interval_of_prompts_that_were_asked_twice_is_student_s_of_their_differences():
    (found,) = alarms([point(0, length=BEFORE), point(4, length=NOW)], looks=2)
    assert (found.name, found.step, found.since, found.kl) == ("longer", 4, 0, None)
    (change,) = found.changes
    assert (change.figure, change.before, change.after, change.estimate.n) == ("length", 45, 90, 8)
    differences = np.subtract(NOW, BEFORE)
    half = student.ppf((1 + found.level) / 2, 7) * differences.std(ddof=1) / sqrt(8)
    assert change.estimate.value == 45
    assert (change.estimate.low, change.estimate.high) == pytest.approx((45 - half, 45 + half))


def test_the_interval_of_other_prompts_has_both_variances():
    now = [85, 88, 89, 90, 91, 92, 92, 93]
    before = [43, 44, 44, 45, 45, 46, 46, 47]
    (found,) = alarms([point(0, length=before), renamed(point(1, length=now), "other")], looks=2)
    parts = np.var(now, ddof=1) / 8, np.var(before, ddof=1) / 8
    welch = sum(parts) ** 2 / (parts[0] ** 2 / 7 + parts[1] ** 2 / 7)
    assert 7 < welch < 14
    half = student.ppf((1 + found.level) / 2, welch) * sqrt(sum(parts))
    (change,) = found.changes
    assert change.estimate.high - change.estimate.value == pytest.approx(half)


def test_one_comparison_at_one_look_has_the_whole_rate():
    """p-values of Student's t for the differences d, margin included, on both sides of the rate."""
    before = np.full(9, 100.0)
    noise = np.array([-20, -15, -10, -5, 0, 5, 10, 15, 20.0])
    error = noise.std(ddof=1) / 3
    critical = student.isf(0.05, 8)
    for beyond, fires in ((0.98, False), (1.02, True)):
        now = 110 + beyond * critical * error + noise
        points = [
            point(0, ends=now),
            point(1, ends=before),
        ]  # falls by 10 and the noise, and 0.1 are the margin
        scaled = [Point(p.step, {"ends": {q: v / 100 for q, v in p.figures["ends"].items()}}) for p in points]
        assert bool(alarms(scaled, looks=2, resamples=200_000)) == fires


def test_the_level_is_shared_between_comparisons_and_never_below_bonferroni_s():
    rng = np.random.default_rng(0)
    proxy, second = rng.normal(size=(2, 5, 30))
    points = [
        point(k, proxy=proxy[k] + 9 * k, second=second[k] - 9 * k, kl=np.full(30, 1.5 * k)) for k in range(5)
    ]
    (found,) = alarms(points, looks=6, rate=0.1)
    assert (found.name, found.kl, found.since) == ("turn", 6.0, 0)
    critical = (1 - found.level) / 2
    assert (
        0.1 / 5 / 8 <= critical <= 0.1 / 5
    )  # four earlier points with two signs each, five looks after the first


def test_what_is_the_same_many_times_over_costs_nothing():
    """A figure compared with points that are one and the same is one comparison."""
    rng = np.random.default_rng(1)
    proxy, second = rng.normal(size=(2, 40))
    same = [point(k, proxy=proxy, second=second) for k in range(4)]
    now = point(4, proxy=proxy + 5 + rng.normal(size=40), second=second - 5 + rng.normal(size=40))
    (once,) = alarms([same[0], now], looks=6, resamples=100_000)
    (often,) = alarms([*same, now], looks=6, resamples=100_000)
    assert often.level == pytest.approx(once.level, abs=1e-3)


def test_a_turn_needs_both_signs():
    rng = np.random.default_rng(2)
    noise = rng.normal(scale=0.1, size=(4, 20))
    for proxy, second, fires in ((1, -1, True), (-1, -1, False), (1, 1, False), (-1, 1, False)):
        points = [
            point(0, proxy=noise[0], second=noise[1]),
            point(1, proxy=proxy + noise[2], second=second + noise[3]),
        ]
        assert [it.name for it in alarms(points, looks=2)] == (["turn"] if fires else [])


def test_a_turn_is_dated_from_where_the_second_score_fell_most_clearly():
    rng = np.random.default_rng(3)
    height = [0, 1, 2, 1.5, 0.5]
    points = [
        point(k, proxy=k + rng.normal(scale=0.2, size=30), second=h + rng.normal(scale=0.2, size=30))
        for k, h in enumerate(height)
    ]
    (found,) = alarms(points, looks=5)
    assert (found.since, found.step) == (2, 4)
    rose, fell = found.changes
    assert (rose.figure, fell.figure) == ("proxy", "second")
    assert rose.estimate.low > 0 > fell.estimate.high


@pytest.mark.parametrize(
    ("figure", "before", "now", "name"),
    [
        ("spread", 1.0, 1.45, None),
        ("spread", 1.0, 1.6, "spread"),
        ("spread", 1.0, 0.2, None),
        ("length", 30, 44, None),
        ("length", 30, 48, "longer"),
        ("length", 30, 21, None),
        ("length", 30, 18, "shorter"),
        ("ends", 0.95, 0.87, None),
        ("ends", 0.95, 0.8, "ends"),
        ("ends", 0.5, 0.95, None),
        ("distinct", 0.8, 0.45, None),
        ("distinct", 0.8, 0.35, "distinct"),
        ("entropy", 1.2, 0.7, None),
        ("entropy", 1.2, 0.5, "entropy"),
        ("kl", 0.0, 50.0, None),
    ],
)
def test_each_margin(figure, before, now, name):
    wiggle = np.linspace(-1, 1, 12) * 0.01
    points = [point(0, **{figure: before * (1 + wiggle)}), point(1, **{figure: now * (1 - wiggle)})]
    assert [it.name for it in alarms(points, looks=2)] == ([name] if name else [])


def test_a_drift_is_measured_from_the_first_point_however_slow_it_is():
    points = [point(k, length=np.linspace(29, 31, 12) * 1.2**k) for k in range(4)]
    found = first_alarm(points)
    assert (found.name, found.since, found.step) == ("longer", 0, 3)


def test_what_does_not_vary_is_told_from_its_margin_alone():
    assert [it.name for it in alarms([point(0, length=[20] * 9), point(1, length=[31] * 9)], looks=2)] == [
        "longer"
    ]
    assert alarms([point(0, length=[20] * 9), point(1, length=[29] * 9)], looks=2) == []


def parted(agreement, proxy):
    """Points at which the score that is optimised and the agreement are these, nearly so for every prompt;
    the second score stays where it is."""
    wiggle = np.linspace(-1, 1, 12) * 0.02
    heights = enumerate(zip(agreement, proxy, strict=True))
    return [point(k, agreement=a + wiggle, proxy=p - wiggle, second=wiggle**2) for k, (a, p) in heights]


RISING, FALLING = (0, 1, 2, 3), (0.6, 0.5, 0.4, 0.35)


@pytest.mark.parametrize(
    ("agreement", "proxy", "peak"),
    [
        (FALLING, RISING, True),
        (FALLING, (0, 1, 2, 2), False),  # nothing is gained any more
        (FALLING, (0, 1, 2, 1.9), False),
        (FALLING, (0, -1, -2, -1.9), True),  # it rises again
        ((0.6, 0.5, 0.48, 0.47), RISING, False),  # more than three quarters are left
    ],
)
def test_a_peak_is_where_models_part_while_the_first_score_still_rises(agreement, proxy, peak):
    names = [alarm.name for alarm in alarms(parted(agreement, proxy), looks=4)]
    assert ("peak" in names) == peak


def test_without_the_score_nothing_says_that_it_rises():
    points = parted(FALLING, RISING)
    assert not rests(points)
    bare = Point(9, {"agreement": points[-1].figures["agreement"]})
    assert rests([*points, bare])
    assert rests([bare, *points[:1]])


def test_an_alarm_that_stands_apart_has_half_of_a_look_s_part():
    """And all of it where it is alone."""
    points = parted(FALLING, RISING)
    (found,) = [
        alarm for alarm in alarms(points, looks=6, rate=0.1, resamples=200_000) if alarm.name == "peak"
    ]
    assert (1 - found.level) / 2 == pytest.approx(0.1 / 5 / 2, rel=0.08)
    (change,) = found.changes
    assert (change.figure, change.before) == ("agreement", pytest.approx(0.6))


def test_few_prompts_are_not_judged():
    few = [point(0, length=range(20, 19 + FEWEST)), point(1, length=range(90, 89 + FEWEST))]
    assert alarms(few, looks=2) == []
    enough = [point(0, length=range(20, 20 + FEWEST)), point(1, length=range(90, 90 + FEWEST))]
    assert len(alarms(enough, looks=2)) == 1


def test_the_order_of_prompts_and_the_unit_of_a_score_change_nothing():
    rng = np.random.default_rng(4)
    points = [
        point(
            k,
            proxy=k + rng.normal(size=20),
            second=-3 * k + rng.normal(size=20),
            length=rng.normal(40, 5, 20),
        )
        for k in range(3)
    ]
    turned = [
        Point(p.step, {n: dict(reversed(list(own.items()))) for n, own in reversed(p.figures.items())})
        for p in points
    ]
    (one,), (other,) = alarms(points, looks=3), alarms(turned, looks=3)
    assert other.changes[1].estimate.low == pytest.approx(one.changes[1].estimate.low)
    scaled = [
        Point(p.step, {n: {q: 10 * v for q, v in own.items()} for n, own in p.figures.items()})
        for p in points
    ]
    (tenfold,) = alarms(scaled, looks=3)
    assert tenfold.changes[1].estimate.low == pytest.approx(10 * one.changes[1].estimate.low)


def test_more_looks_than_were_planned_are_refused():
    with pytest.raises(DataError, match="3 points, and 2 looks were planned"):
        alarms([point(k, length=BEFORE) for k in range(3)], looks=2)
    assert alarms([point(0, length=BEFORE)], looks=1) == []


def test_points_are_pooled_prompt_by_prompt():
    one = Point(3, {"length": {"a": 10.0, "b": 20.0}, "kl": {"a": 1.0}})
    other = Point(4, {"length": {"b": 40.0, "c": 5.0}})
    assert pooled([one, other]) == Point(4, {"length": {"a": 10.0, "b": 30.0, "c": 5.0}})


def test_what_can_be_judged_follows_from_the_figures_there_are():
    some = [1] * FEWEST
    assert judged(point(0, proxy=some, length=some, ends=some[1:], kl=some)) == ("longer", "shorter")
    everything = {sign.figure: some for rule in RULES.values() for sign in rule.signs}
    assert judged(point(0, **everything)) == tuple(RULES)


NOISES = {
    "normal": lambda rng, size: rng.normal(size=size),
    "heavy": lambda rng, size: rng.standard_t(3, size=size) / sqrt(3),
    "skewed": lambda rng, size: rng.exponential(size=size) - 1,
}


def a_run(rng, proxy, second, *, prompts=24, paired=True, noise="normal"):
    """Points whose scores follow two curves: prompts differ by a deviation of 1, samples' means by 0.35."""
    draw = NOISES[noise]
    worth = draw(rng, prompts)
    points = []
    for k, heights in enumerate(zip(proxy, second, strict=True)):
        if not paired:
            worth = draw(rng, prompts)
        own = {
            name: height + worth + 0.35 * draw(rng, prompts)
            for name, height in zip(("proxy", "second"), heights, strict=True)
        }
        own["length"] = np.exp(3.5 + 0.3 * worth + 0.2 * draw(rng, prompts))
        own["ends"] = rng.binomial(4, 0.9, size=prompts) / 4
        own["entropy"] = 1.5 + 0.3 * rng.random(prompts)
        made = point(k, **own)
        points.append(made if paired else renamed(made, f"{k}:"))
    return points


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("paired", [True, False], ids=["same prompts", "other prompts"])
@pytest.mark.mistake("alarms-cry-wolf")
def test_on_a_clean_reward_one_run_in_twenty_has_an_alarm_at_most(noise, paired):
    """The proxy climbs all the way and the second score stays where it is, the most that is no turn."""
    rng = np.random.default_rng(5)
    curves = np.linspace(0, 3, LOOKS), np.zeros(LOOKS)
    runs = [first_alarm(a_run(rng, *curves, noise=noise, paired=paired), resamples=FAST) for _ in range(120)]
    assert sum(alarm is not None for alarm in runs) <= 0.05 * len(runs)


@pytest.mark.mistake("alarms-cry-wolf")
def test_a_run_that_turns_is_told_after_its_turn():
    """The second score rises to its best at the fifth of ten points, then loses what it had gained."""
    rng = np.random.default_rng(6)
    second = 0.8 * np.array([0, 0.4, 0.7, 0.9, 1, 0.95, 0.8, 0.55, 0.25, 0])
    curves = np.linspace(0, 3, LOOKS), second
    runs = [first_alarm(a_run(rng, *curves, prompts=48), resamples=FAST) for _ in range(60)]
    found = [alarm for alarm in runs if alarm is not None]
    assert len(found) >= 0.9 * len(runs)
    assert all(isinstance(it, Alarm) and it.name == "turn" and it.step > 4 for it in found)


def parting(rng, correlations, heights, *, prompts=24, samples=8):
    """Points whose scores have these correlations within prompts, the first of these heights."""
    points = []
    for k, (rho, height) in enumerate(zip(correlations, heights, strict=True)):
        one, own = rng.normal(size=(2, prompts, samples))
        other = rho * one + sqrt(1 - rho**2) * own
        proxy = one.mean(axis=1) + height
        points.append(point(k, proxy=proxy, agreement=agreement_by_prompt(one, other)))
    return points


def named(points, name, **more):
    """Whether a run that is looked at after each point has an alarm of this name at any."""
    return any(
        name in [alarm.name for alarm in alarms(points[:k], looks=len(points), **more)]
        for k in range(2, len(points) + 1)
    )


def test_while_three_quarters_of_the_agreement_are_left_one_run_in_twenty_has_a_peak_at_most():
    """The first score rises all the way, so that all hangs on the agreement."""
    rng = np.random.default_rng(7)
    rho = [0.6, *[0.45] * (LOOKS - 1)]
    runs = [named(parting(rng, rho, range(LOOKS)), "peak", resamples=500) for _ in range(120)]
    assert sum(runs) <= 0.05 * len(runs)


def test_a_peak_is_found_where_models_part_and_not_where_nothing_is_gained():
    rng = np.random.default_rng(8)
    rho = np.linspace(0.7, 0.0, LOOKS)
    runs = [named(parting(rng, rho, range(LOOKS)), "peak", resamples=500) for _ in range(40)]
    assert sum(runs) >= 0.95 * len(runs)
    level = [named(parting(rng, rho, [0] * LOOKS), "peak", resamples=500) for _ in range(40)]
    assert sum(level) <= 0.1 * len(level)
