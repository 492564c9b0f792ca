"""Requests of many callers, and the lots they are answered in."""

from concurrent.futures import CancelledError
from threading import Event

import pytest

from gnomon.evaluation.adapters.gathering import Gathering


class Squares:
    """Answers when it is let, and remembers what came together."""

    def __init__(self):
        self.lots, self.may = [], Event()

    def __call__(self, asked):
        self.may.wait(10)
        self.lots.append(list(asked))
        if -1 in asked:
            raise ValueError("no root")
        return [number**2 for number in asked]


def test_what_comes_while_a_lot_is_answered_is_answered_together():
    squares = Squares()
    gathering = Gathering(squares, most=4, patience=0.001)
    first = gathering.ask(0)
    while not first.running():
        pass
    later = [gathering.ask(number) for number in range(1, 7)]
    squares.may.set()
    assert [future.result(10) for future in (first, *later)] == [0, 1, 4, 9, 16, 25, 36]
    assert squares.lots == [[0], [1, 2, 3, 4], [5, 6]]
    gathering.close()


def test_those_who_come_together_are_waited_for():
    squares = Squares()
    squares.may.set()
    gathering = Gathering(squares, most=64, patience=1.0)
    futures = [gathering.ask(number) for number in range(20)]
    gathering.close()
    assert [future.result(0) for future in futures] == [number**2 for number in range(20)]
    assert len(squares.lots) == 1


def test_all_of_a_lot_hear_of_what_went_wrong_and_the_next_is_answered():
    squares = Squares()
    squares.may.set()
    gathering = Gathering(squares, most=2, patience=1.0)
    futures = [gathering.ask(number) for number in (-1, 2, 3)]
    for future in futures[:2]:
        with pytest.raises(ValueError, match="no root"):
            future.result(10)
    assert futures[2].result(10) == 9
    gathering.close()


def test_who_gave_up_is_not_answered():
    squares = Squares()
    gathering = Gathering(squares, most=2, patience=0.001)
    first = gathering.ask(1)
    while not first.running():
        pass
    second = gathering.ask(2)
    assert second.cancel()
    squares.may.set()
    gathering.close()
    assert first.result(0) == 1
    assert squares.lots == [[1]]
    with pytest.raises(CancelledError):
        second.result(0)
