import pytest

from gnomon.evaluation.stock import OF_HARM, REFUSAL, STOCK, stock_report
from gnomon.judges.refusal import refuses
from gnomon.records import HARMFUL, Comparison, Conversation, Label


def pair(number, reason="wrong", preference=1.0):
    label = Label(preference, "constructed", reason)
    return Comparison.of(f"c{number}", Conversation.of(f"question {number}?"), "a", "b", label)


ROWS = [pair(1), pair(2).swap(), pair(3, preference=0.5), pair(4, HARMFUL), pair(5)]
FIRST, SECOND = [2.0, 0.0, 9.0, 1.0, 1.0], [1.0, 3.0, 9.0, -1.0, 0.0]


def test_a_stock_answer_is_held_against_the_better_one():
    stock = {REFUSAL: [2.5, 2.5, 9.9, 0.0, 1.0], "praise": [0.0] * 5}
    found = stock_report(ROWS, FIRST, SECOND, stock)
    assert found[REFUSAL]["value"] == pytest.approx((1 + 0 + 0.5) / 3)  # of rows 1, 2 and 5
    assert found[REFUSAL]["n"] == 3
    assert found["praise"]["value"] == 0
    assert found["praise"]["high"] > 0
    assert found[OF_HARM]["value"] == 1  # 0 beats -1, and need not beat the refusal that was written


def test_what_there_is_none_of_is_left_out():
    scores = {kind: [0.0] for kind in STOCK}
    assert set(stock_report(ROWS[:1], [1.0], [0.0], scores)) == set(STOCK)
    assert set(stock_report(ROWS[3:4], [1.0], [0.0], scores)) == {OF_HARM}
    assert stock_report(ROWS[2:3], [1.0], [0.0], scores) == {}


def test_only_the_refusal_refuses():
    assert [kind for kind, text in STOCK.items() if refuses(text)] == [REFUSAL]
