"""Asking again for what cannot be read."""

import pytest

from gnomon.judges.asking import asked_again


def asking(tries):
    """Who answers each question as soon as it was asked so many times, and what was asked of them."""
    seen = []

    def ask(questions, attempt):
        seen.append((list(questions), attempt))
        return [f"{one}{attempt}" if attempt >= tries[one] else "" for one in questions]

    return ask, seen


def test_only_what_cannot_be_read_is_asked_again_and_stands_where_it_was():
    ask, seen = asking({"a": 0, "b": 2, "c": 1})
    assert asked_again(ask, ["a", "b", "c"], bool, 3) == ["a0", "b2", "c1"]
    assert seen == [(["a", "b", "c"], 0), (["b", "c"], 1), (["b"], 2)]


@pytest.mark.parametrize(("retries", "found"), [(0, ""), (1, ""), (2, "b2")])
def test_it_is_asked_no_more_often_than_said(retries, found):
    ask, seen = asking({"b": 2})
    assert asked_again(ask, ["b"], bool, retries) == [found]
    assert len(seen) == 1 + retries
