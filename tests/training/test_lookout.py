"""Looks at a run: how many, what is told of them, and what survives an interruption."""

import numpy as np
import pytest

from gnomon.settings.guards import GuardSettings
from gnomon.settings.policy import PolicySettings
from gnomon.stats.alarms import RULES, Alarm, Change, Point
from gnomon.stats.bootstrap import Estimate
from gnomon.training.lookout import FIGURES, LOOKS, MEANINGS, Lookout, as_json, sentence


def lengthening(step, factor, prompts=12):
    """Lengths about 20 times the factor, and a KL that is known."""
    wiggle = np.linspace(19, 21, prompts)
    figures = {"length": wiggle * factor, "kl": np.full(prompts, 0.5 * step)}
    return Point(
        step, {name: {f"p{i}": float(v) for i, v in enumerate(own)} for name, own in figures.items()}
    )


def watching(planned, **guards):
    """A lookout, and the list of what it tells."""
    it, told = Lookout(planned, GuardSettings(**guards), seed=0), []
    it.told = told.append
    return it, told


def test_few_points_are_each_looked_at():
    it, told = watching(4)
    logged = [it.see(lengthening(step, factor)) for step, factor in enumerate((1.0, 1.2, 1.8, 2.0))]
    quiet, alarm = {"alarm/longer": 0.0, "alarm/shorter": 0.0}, {"alarm/longer": 1.0, "alarm/shorter": 0.0}
    assert logged == [quiet, quiet, alarm, alarm]
    assert len(told) == len(it.fired) == 1


def test_an_alarm_is_told_with_its_evidence():
    it, told = watching(2)
    it.see(lengthening(0, 1.0))
    it.see(lengthening(5, 2.0))
    (alarm,) = it.fired
    change = alarm.changes[0].estimate
    assert told == [sentence(alarm)]
    assert told[0].startswith(
        "answers grow longer: from step 0 to 5 tokens an answer rose from 20.0 to 40.0 "
        f"(by {change.low:.1f} to {change.high:.1f}), at 2.5 nats a sequence; see whether length is what pays"
    )
    told_of = as_json(alarm)
    assert (told_of["name"], told_of["since"], told_of["step"], told_of["kl"]) == ("longer", 0, 5, 2.5)
    assert told_of["text"] == told[0]
    assert told_of["changes"][0]["estimate"]["low"] == change.low


def test_what_falls_is_told_of_as_positive_numbers():
    it, told = watching(2)
    it.see(lengthening(0, 1.0))
    it.see(lengthening(1, 0.5))
    change = it.fired[0].changes[0].estimate
    assert f"fell from 20.0 to 10.0 (by {-change.high:.1f} to {-change.low:.1f})" in told[0]


def test_a_small_change_is_told_in_digits_that_can_be_read():
    change = Change("distinct", 0.9312, 0.9281, Estimate(-0.0031, -0.0050, -0.0012, 9))
    assert "fell from 0.9312 to 0.9281 (by 0.0012 to 0.0050)" in sentence(
        Alarm("turn", 2, 1, (change,), 0.95)
    )


@pytest.mark.parametrize(
    ("planned", "window", "looks"), [(1, 1, 1), (12, 1, 12), (13, 2, 7), (24, 2, 12), (100, 9, 12)]
)
def test_many_points_are_pooled_and_the_last_is_looked_at(planned, window, looks):
    it, _ = watching(planned)
    logged = [bool(it.see(lengthening(step, 1.0))) for step in range(planned)]
    assert (it.window, sum(logged), logged[-1]) == (window, looks, True)
    assert looks <= LOOKS
    assert it.see(lengthening(planned, 9.0)) == {}
    assert [point.step for point in it.seen][:-1] == list(range(window - 1, planned - 1, window))[: looks - 1]


def test_of_a_pool_each_prompt_is_a_mean():
    it, _ = watching(24)
    it.see(lengthening(0, 1.0))
    it.see(lengthening(1, 3.0))
    assert it.seen[0].mean("length") == pytest.approx(40.0)


def test_a_run_ends_for_the_alarms_that_were_named():
    for stop, ends in (((), False), (("turn",), False), (("turn", "longer"), True)):
        it, told = watching(3, stop=stop)
        it.see(lengthening(0, 1.0))
        assert it.stop is None
        it.see(lengthening(1, 2.0))
        assert it.stop == (f"alarm: {told[0]}" if ends else None)


def test_after_an_interruption_nothing_is_told_twice_and_the_rest_is_as_it_was():
    factors = [1.0, 1.1, 1.2, 1.9, 2.0, 2.0, 0.5, 0.5]
    points = [lengthening(step, factor) for step, factor in enumerate(factors)]
    whole, told = watching(26)  # pools of three
    logged = [whole.see(point) for point in points]
    for cut in range(len(points)):
        before, heard = watching(26)
        assert [before.see(point) for point in points[:cut]] == logged[:cut]
        after, more = watching(26)
        after.load_state_dict(before.state_dict())
        assert [after.see(point) for point in points[cut:]] == logged[cut:]
        assert heard + more == told
        assert after.state_dict() == whole.state_dict()
        assert after.fired == whole.fired


def test_points_are_batches_or_evaluation_points():
    assert Lookout.of(PolicySettings(steps=10), 0).planned == 10
    assert Lookout.of(PolicySettings(steps=10, guards={"every": 3}), 0).planned == 5  # 0, 3, 6, 9 and 10
    assert Lookout.of(PolicySettings(steps=9, guards={"every": 3}), 0).planned == 4
    assert Lookout.of(PolicySettings(guards={"alarms": False}), 0) is None


def test_evaluation_points_are_looked_at_more_often_than_batches():
    assert Lookout.of(PolicySettings(steps=21), 0).window == 2
    often = Lookout.of(PolicySettings(steps=40, guards={"every": 2}), 0)
    assert (often.planned, often.window) == (21, 1)
    assert Lookout.of(PolicySettings(steps=24, guards={"every": 1}), 0).window == 2


def test_every_alarm_has_its_words():
    assert set(MEANINGS) == set(RULES)
    assert {sign.figure for rule in RULES.values() for sign in rule.signs} == set(FIGURES)
