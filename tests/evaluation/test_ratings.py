import numpy as np
import pytest

from gnomon.errors import DataError
from gnomon.evaluation.ratings import told_apart
from gnomon.records import Conversation, Rating


def rated(verdicts, prompts=None):
    names = prompts or [f"topic{i} question{i} words{i} apart{i}" for i in range(len(verdicts))]
    return [
        Rating(str(i), Conversation.of(name), "answer", desirable=good)
        for i, (name, good) in enumerate(zip(names, verdicts, strict=True))
    ]


def test_worked_by_hand():
    """Of six pairs of a good and a bad answer four are right and one is even."""
    rows = rated([True, True, False, False, False])
    found = told_apart(rows, [2.0, 0.5, 1.0, 0.5, -1.0])
    assert found.value == pytest.approx((3 + 1 + 0.5) / 6)
    assert found.low < found.value < found.high


def test_where_the_answers_cannot_say():
    assert told_apart([], []) is None
    assert told_apart(rated([True, True]), [1.0, 2.0]) is None
    same = rated([True, False], ["Name a colour.", "Name a colour."])
    assert told_apart(same, [1.0, 2.0]) is None
    with pytest.raises(DataError, match="rewards"):
        told_apart(rated([True, False]), [float("nan"), 1.0])


def test_the_order_is_what_counts():
    rows = rated([True, False, True, False])
    values = [3.0, 1.0, 2.0, 2.5]
    assert told_apart(rows, values) == told_apart(rows, [np.exp(v) for v in values])
    opposite = told_apart(rows, [-v for v in values])
    assert opposite.value == pytest.approx(1 - told_apart(rows, values).value)


def test_the_interval_covers():
    """Normal rewards a deviation apart: the area is Phi(1 / sqrt 2)."""
    rng, truth, hits, rounds = np.random.default_rng(0), 0.7602499, 0, 400
    verdicts = [i % 3 > 0 for i in range(60)]
    rows = rated(verdicts)
    for _ in range(rounds):
        rewards = rng.normal(size=60) + np.array(verdicts)
        found = told_apart(rows, rewards.tolist())
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / rounds <= 0.98
