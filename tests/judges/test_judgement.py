import json

import pytest

from gnomon.errors import DataError
from gnomon.judges.judgement import (
    Abstention,
    Judgement,
    flip_rate,
    said_from_json,
    said_to_json,
    sigmoid,
)


@pytest.mark.parametrize(
    ("first", "second", "verdict", "flips"),
    [
        (0.9, 0.6, 1.0, False),
        (0.1, 0.4, 0.0, False),
        (0.99, 0.49, 0.5, True),  # sure of the first in one order alone
        (0.5, 0.5, 0.5, False),
        (1.0, 0.5, 0.75, True),
        (0.0, 0.5, 0.25, True),
    ],
)
def test_a_verdict_is_the_mean_of_what_both_orders_say(first, second, verdict, flips):
    judgement = Judgement.of(first, second, "")
    assert (judgement.verdict, judgement.flips) == (verdict, flips)


def test_flip_rate_is_the_share_that_changes_sides():
    judgements = [Judgement.of(0.9, 0.8, ""), Judgement.of(0.9, 0.2, ""), Judgement.of(0.1, 0.3, "")]
    assert flip_rate(judgements) == pytest.approx(1 / 3)
    with pytest.raises(DataError, match="no judgements"):
        flip_rate([])


@pytest.mark.parametrize(
    "said", [Judgement.of(0.25, 0.75, "quality", ("one", "other")), Abstention("unparsable", ("?", "A"))]
)
def test_what_is_said_comes_back_as_it_was(said):
    assert said_from_json({"id": "x", **json.loads(json.dumps(said_to_json(said)))}) == said


def test_no_margin_is_too_large():
    assert [sigmoid(x) for x in (-1e4, 0.0, 1e4)] == [0.0, 0.5, 1.0]
