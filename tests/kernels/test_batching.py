from hypothesis import given
from hypothesis import strategies as st

from gnomon.kernels.batching import alongside, by_length


def test_worked_example():
    # 2 * 3 fits 8, a third row of 5 would make 3 * 5
    assert by_length([5, 2, 3, 4], tokens=8) == [[1, 2], [3], [0]]


def test_a_row_longer_than_the_limit_is_alone():
    assert by_length([9, 1], tokens=4) == [[1], [0]]


def test_a_long_row_does_not_pad_many_short_ones():
    # a fifth row of 20 would make 5 * 20 of 60 real tokens
    assert by_length([10, 10, 20, 10, 10], tokens=1000) == [[0, 1, 3, 4], [2]]
    assert by_length([10, 10, 10, 20], tokens=1000) == [[0, 1, 2, 3]]  # so few rows are not worth two passes


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 100))
def test_every_row_is_in_one_group_that_fits(lengths, tokens):
    groups = by_length(lengths, tokens)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[i] for i in group) <= tokens


def test_between_too_few_groups_and_too_many_the_largest_is_parted():
    # of six equal rows two at a time make three groups, one at a time six
    assert alongside([10] * 6, tokens=25, lanes=2) == [[0], [1], [2, 3], [4, 5]]


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 100), st.integers(2, 4))
def test_lanes_have_as_many_groups_each_where_there_are_rows_enough(lengths, tokens, lanes):
    groups = alongside(lengths, tokens, lanes)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[i] for i in group) <= tokens
    assert len(groups) % lanes == 0 or len(groups) == len(lengths)
