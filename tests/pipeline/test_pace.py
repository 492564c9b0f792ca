import pytest

from gnomon.pipeline.pace import Ahead, Pace


def test_the_estimate_follows_the_pace_of_late():
    pace = Pace()
    assert pace.remaining(50, 100, now=1000.0) is None  # a resumed stage: 50 were done by another process
    assert pace.remaining(51, 100, now=1002.0) == pytest.approx(98)
    assert pace.remaining(61, 100, now=1022.0) == pytest.approx(78)
    assert pace.remaining(61, 100, now=1030.0) == pytest.approx(78)
    for step in range(62, 100):
        last = pace.remaining(step, 100, now=1022.0 + 20 * (step - 61))
    assert last == pytest.approx(20, rel=0.01)
    assert pace.remaining(100, 100, now=2000.0) == 0


def test_what_is_left_of_a_road_follows_from_the_pace_of_its_stages():
    road = Ahead({"sft": 100.0, "reward": 50.0, "policy": 200.0})
    road.started("sft", cached=False)
    assert road.seconds() is None  # nothing says yet what 100 means here
    road.progress(1, 10, None)
    assert road.seconds() is None
    road.progress(2, 10, 40.0)  # so the whole stage takes 50, half of what is expected
    assert road.seconds() == pytest.approx(40 + (50 + 200) / 2)
    road.progress(10, 10, 0.0)
    assert road.seconds() == pytest.approx((50 + 200) / 2)
    road.finished(60.0)
    assert road.seconds() == pytest.approx(0.6 * 250)
    road.started("reward", cached=False)
    assert road.seconds() == pytest.approx(0.6 * 250)
    road.progress(5, 10, None)
    assert road.seconds() == pytest.approx(0.6 * (25 + 200))
    road.progress(6, 10, 16.0)  # 40 in all: the stages seen so far take 100 where 150 are expected
    assert road.seconds() == pytest.approx(16 + 200 * 100 / 150)
    road.finished(30.0)
    road.started("policy", cached=False)
    road.progress(1, 4, 90.0)
    assert road.seconds() == pytest.approx(90)
    road.finished(120.0)
    assert road.seconds() == 0


def test_stages_made_before_and_stages_left_out_take_no_time_and_say_nothing_of_the_pace():
    road = Ahead({"sft": 0.0, "constitutional": 30.0, "reward": 10.0, "answers": 20.0})
    road.started("sft", cached=True)
    assert road.seconds() is None
    road.started("reward", cached=False)  # the constitutional model was left out
    road.progress(1, 2, 5.0)
    assert road.seconds() == pytest.approx(5 + 20)
    road.finished(10.0)
    road.started("answers", cached=True)
    assert road.seconds() == 0


def test_a_stage_nobody_announced_leaves_the_road_as_it_is():
    road = Ahead({"reward": 10.0, "policy": 20.0})
    road.started("data", cached=False)
    road.finished(3.0)
    assert road.seconds() is None
    road.started("reward", cached=False)
    road.finished(10.0)
    assert road.seconds() == pytest.approx(20)
