import pytest

from gnomon.errors import DataError
from gnomon.evaluation.reward import error_correlation, reward_report
from gnomon.records import Comparison, Conversation, Label


def pair(number, chosen, rejected, reason="wrong", preference=1.0, prompt=None):
    label = Label(preference, "constructed", reason)
    return Comparison.of(
        f"c{number}", Conversation.of(prompt or f"question {number}?"), chosen, rejected, label
    )


ROWS = [
    pair(1, "a b c", "a"),  # longer is better
    pair(2, "a", "a b"),  # shorter is better
    pair(3, "a b", "c d", "padded"),  # equally long
    pair(4, "a b c d", "a", "padded").swap(),  # longer is better, and stands second
]


def test_worked_example():
    report = reward_report(ROWS, first=[2.0, 0.0, 1.0, 3.0], second=[0.0, 1.0, 0.0, 1.0])
    assert report["accuracy"]["value"] == 0.5  # the first and the third
    assert report["longer_wins"]["value"] == 2.5 / 4
    assert report["shorter_wins"]["value"] == 1.5 / 4
    assert report["by_reason"]["wrong"] == report["by_reason"]["padded"] | {"value": 0.5}
    assert report["accuracy"]["low"] == pytest.approx(0.15, abs=0.005)  # Wilson, 2 of 4


def test_a_tied_label_has_no_better_answer():
    tied = pair(5, "a", "b", preference=0.5)
    scores = [2.0, 0.0, 1.0, 3.0], [0.0, 1.0, 0.0, 1.0]
    with_tie = reward_report([*ROWS, tied], [*scores[0], 9.0], [*scores[1], 0.0])
    assert with_tie == reward_report(ROWS, *scores)
    with pytest.raises(DataError, match="ties"):
        reward_report([tied], [1.0], [0.0])


def test_many_pairs_of_one_prompt_are_one_observation():
    ranked = [pair(n, "x y", "z", prompt="one prompt for all of them") for n in range(30)]
    spread = [pair(n, "x y", "z", prompt=f"prompt number {n} speaks of {n * n}") for n in range(30)]
    scores = [float(n % 3 > 0) for n in range(30)], [0.5] * 30
    one, many = reward_report(ranked, *scores), reward_report(spread, *scores)
    assert one["accuracy"]["value"] == many["accuracy"]["value"] == pytest.approx(2 / 3)
    assert many["accuracy"]["high"] - many["accuracy"]["low"] < 0.35
    assert one["accuracy"]["high"] - one["accuracy"]["low"] > 0.75  # Wilson's, of a single cluster


def test_errors_in_common_correlate_and_opposite_ones_do_not():
    first, second = [2.0, 0.0, 1.0, 3.0], [0.0, 1.0, 0.0, 1.0]
    assert error_correlation(ROWS, (first, second), (first, second)) == pytest.approx(1.0)
    assert error_correlation(ROWS, (first, second), (second, first)) == pytest.approx(-1.0)
