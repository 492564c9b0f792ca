"""Turns, ratios and agreement: what every benchmark rests on. Nothing here is a timing."""

import pytest

from gnomon.errors import ModelError
from paired import check, differences, ratios, take_turns


def test_another_side_begins_each_round_and_the_first_rounds_do_not_count():
    calls: list[str] = []

    def side(name: str) -> int:
        calls.append(name)
        return len(calls)

    kept = take_turns({"a": lambda: side("a"), "b": lambda: side("b")}, pairs=2, warm_up=1)
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert kept == {"a": [4, 5], "b": [3, 6]}


def test_a_ratio_is_the_median_of_the_pairs():
    assert ratios([4, 3, 4], [1, 1, 2]) == {"median": 3.0, "low": 2.0, "high": 4.0, "each": [4.0, 3.0, 2.0]}


def test_rows_differ_by_the_root_mean_square_over_that_of_the_values():
    found = differences({"scores": [3.0, -1.0], "loss": 1.0}, {"scores": [3.0, 4.0], "loss": 1.25})
    assert found == {"scores": pytest.approx(1.0), "loss": pytest.approx(0.2)}


def test_sides_that_tell_different_things_are_not_compared():
    with pytest.raises(ModelError, match="one side tells"):
        differences({"loss": 1.0}, {"scores": [1.0]})


@pytest.mark.parametrize("by", [0.03, float("nan")])
def test_sides_that_differ_are_named(by: float):
    check({"loss": 0.01}, 0.02, "dpo")
    with pytest.raises(ModelError, match="dpo, tuned: loss differs by"):
        check({"loss": by}, 0.02, "dpo, tuned")
