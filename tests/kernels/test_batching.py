from hypothesis import given
from hypothesis import strategies as st

from gnomon.kernels.batching import by_length


def test_worked_example():
    # 2 * 3 fits 8, a third row of 5 would make 3 * 5
    assert by_length([5, 2, 3, 4], tokens=8) == [[1, 2], [3], [0]]


def test_a_row_longer_than_the_limit_is_alone():
    assert by_length([9, 1], tokens=4) == [[1], [0]]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 100))
def test_every_row_is_in_one_group_that_fits(lengths, tokens):
    groups = by_length(lengths, tokens)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[i] for i in group) <= tokens
