import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.data.implied import implied
from gnomon.records import implied_weight

RANKS = st.lists(st.integers(1, 5), min_size=2, max_size=9)


def test_pairs_of_three_by_hand():
    """The second is best, the others are as good as one another."""
    assert list(implied([2, 1, 2])) == [(0, 1, 0.0), (0, 2, 0.5), (1, 2, 1.0)]


@given(RANKS)
def test_all_pairs_weigh_as_much_as_the_neighbours_they_follow_from(ranks):
    count = len(ranks)
    assert len(list(implied(ranks))) * implied_weight(count) == pytest.approx(count - 1)


@given(RANKS)
def test_turned_ranks_turn_every_preference(ranks):
    turned = [-rank for rank in ranks]
    assert [pair.preference for pair in implied(turned)] == [1 - pair.preference for pair in implied(ranks)]
