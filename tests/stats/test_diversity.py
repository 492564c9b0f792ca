import pytest

from gnomon.errors import DataError
from gnomon.stats.diversity import distinct


def test_worked_numbers():
    # ab bc ca ab | bc cd: six runs, of which ab, bc, ca, cd are distinct
    assert distinct(["abcab", "bcd"]) == pytest.approx(4 / 6)
    assert distinct(["abcab", "bcd"], n=1) == pytest.approx(4 / 8)


def test_copies_of_one_answer_are_that_many_times_less():
    assert distinct([[1, 2, 3, 4]]) == 1.0
    assert distinct([[1, 2, 3, 4]] * 5) == pytest.approx(1 / 5)


def test_runs_do_not_reach_over_the_end_of_an_answer():
    assert distinct([[1, 2], [3, 4]]) == distinct([[3, 4], [1, 2]]) == 1.0
    assert distinct([[1, 2], [2, 1], [1, 2]]) == pytest.approx(2 / 3)


def test_where_no_answer_has_a_run_nothing_is_said():
    assert distinct([[1], [], [2]]) is None
    assert distinct([]) is None
    with pytest.raises(DataError, match="runs of 0"):
        distinct([[1, 2]], n=0)
