import math
from hashlib import sha256

import numpy as np
import pytest

from gnomon.errors import DataError
from gnomon.evaluation.reward import error_correlation, reward_report, reward_rows, scored_report
from gnomon.models.load import load
from gnomon.models.reward_model import RewardModel, Score, Scorer
from gnomon.records import Comparison, Conversation, Label
from gnomon.stats.proportion import wilson


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
    # Wilson, 2 of 4, with Student's t of 3 degrees in place of z and 3 of 4 in place of n: 3.182^2 / 3
    assert report["accuracy"]["low"] == pytest.approx(0.0608, abs=0.0005)


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
    assert (one["accuracy"]["low"], one["accuracy"]["high"]) == (0, 1), "a single cluster tells nothing"


@pytest.mark.parametrize("wrong", [1, 3])
def test_what_one_prompt_gets_right_lies_in_its_interval(wrong):
    rows = [pair(n, "x y", "z", prompt="one prompt for all of them") for n in range(30)]
    found = reward_report(rows, [float(n >= wrong) for n in range(30)], [0.5] * 30)["accuracy"]
    assert found["value"] == pytest.approx(1 - wrong / 30)
    assert found["low"] <= found["value"] <= found["high"]


def test_a_share_that_is_no_whole_number_in_floats_is_not_rounded_down():
    letters = str.maketrans("0123456789", "ghijklmnop")
    names = [sha256(f"{n}".encode()).hexdigest()[:24].translate(letters) for n in range(100)]
    rows = [pair(n, "x y", "z", prompt=name) for n, name in enumerate(names)]
    found = reward_report(rows, [float(n < 29) for n in range(100)], [0.5] * 100)["accuracy"]
    plain = wilson(29, 100)
    assert (found["value"], found["low"], found["high"]) == pytest.approx(
        (0.29, plain.low, plain.high), abs=0.003
    )


def test_errors_in_common_correlate_and_opposite_ones_do_not():
    first, second = [2.0, 0.0, 1.0, 3.0], [0.0, 1.0, 0.0, 1.0]
    assert error_correlation(ROWS, (first, second), (first, second)) == pytest.approx(1.0)
    assert error_correlation(ROWS, (first, second), (second, first)) == pytest.approx(-1.0)


def test_where_scores_are_equal_a_model_is_half_right():
    report = reward_report(ROWS, first=[0.0] * 4, second=[0.0] * 4)
    assert report["accuracy"]["value"] == 0.5
    assert report["ece"] == pytest.approx(0.0)


def test_a_model_that_is_calibrated_has_a_calibration_error_from_zero():
    generator, none = np.random.default_rng(0), 0
    rows = [pair(n, f"a{n} b", f"c{n} d") for n in range(60)]
    for _ in range(100):
        chances = generator.uniform(0.1, 0.9, 60)
        told = [
            row if better else row.swap()
            for row, better in zip(rows, generator.random(60) < chances, strict=True)
        ]
        found = reward_report(told, chances, [0.5] * 60, chances.tolist())["ece_interval"]
        none += found["low"] == 0 < found["high"]
    assert none >= 93
    assert reward_report(ROWS[:1], [1.0], [0.0])["ece_interval"] is None


def test_pairs_of_equal_length_have_an_accuracy_of_their_own():
    rows = [
        pair(1, "w " * 10, "w " * 9),  # a tenth of the longer: equal
        pair(2, "w " * 10, "w " * 8),
        pair(3, "v " * 20, "w " * 18),
    ]
    report = reward_report(rows, first=[1.0, 1.0, 0.0], second=[0.0, 0.0, 1.0])
    assert report["matched"]["value"] == 0.5
    assert report["matched"]["n"] == 2
    assert "matched" not in reward_report(rows[1:2], [1.0], [0.0])


def test_a_reliability_curve_is_of_both_orders():
    report = reward_report(ROWS[:1], [2.0], [0.0], chances=[0.9])
    low, high = report["reliability"]
    assert low == {"stated": pytest.approx(0.1), "happened": 0.0, "n": 1}
    assert high == {"stated": pytest.approx(0.9), "happened": 1.0, "n": 1}
    assert report["ece"] == pytest.approx(0.1)


def shaped(heads, *, variance=False):
    """A model of which only the shape and the chances are asked for."""
    lm = load("tiny:0", dtype="float32")
    return Scorer(lm, RewardModel(lm, heads=heads, variance=variance))


def test_members_tell_whether_they_differ_more_where_the_model_is_wrong():
    first = [Score((2.0, 2.0)), Score((0.0, 1.0)), Score((1.0, 1.0)), Score((3.0, 1.0))]
    second = [Score((0.0, 0.0)), Score((0.5, 1.5)), Score((0.0, 0.0)), Score((0.0, 0.0))]
    report = scored_report(shaped(2), ROWS, first, second)
    # right: the first and the third, of no spread; wrong: 0.5 and 0.5, and 1 and 0
    assert report["uncertainty"] == {"mean": 0.25, "right": 0.0, "wrong": 0.5}
    assert "explained" not in report
    values = [[score.value for score in scores] for scores in (first, second)]
    assert report["accuracy"] == reward_report(ROWS, *values)["accuracy"]


def test_what_variances_explain_is_the_share_between_answers():
    first = [Score((value,), variance=1.0) for value in (2.0, 0.0, 1.0, 3.0)]
    second = [Score((value,), variance=2.0) for value in (0.0, 1.0, 0.0, 1.0)]
    report = scored_report(shaped(1, variance=True), ROWS, first, second)
    assert report["explained"] == pytest.approx(1.0 / (1.0 + 1.5))  # scores of variance 1, means 1
    assert "uncertainty" not in report


def test_a_row_says_what_each_answer_was_given_and_whether_that_is_right():
    tied = pair(5, "a", "b", preference=0.5)
    first = [Score((1.0, 3.0)), Score((0.0, 0.0))]
    second = [Score((0.0, 0.0)), Score((0.0, 0.0))]
    one, other = reward_rows(shaped(2), [ROWS[0], tied], first, second)
    assert one["first"] == {"text": "a b c", "words": 3, "score": 2.0, "uncertainty": 1.0, "variance": 0.0}
    assert (one["id"], one["reason"], one["preference"], one["right"]) == ("c1", "wrong", 1.0, 1.0)
    assert one["chance"] == pytest.approx(1 / (1 + math.exp(-2)))
    assert (other["right"], other["chance"]) == (None, 0.5)
