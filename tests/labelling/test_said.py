from hypothesis import given
from hypothesis import strategies as st
from judging import ORDERS, judgements

from gnomon.labelling.judgement import Judgement, as_kept
from gnomon.labelling.said import Rationale, told

LEFT = Judgement(choice="left", strength=4, left_flags={"wrong"}, rationale="A is right")
RIGHT = Judgement(choice="right", strength=1, left_flags={"wrong", "harmful"})


def voted(judgement: Judgement, order: list[int]) -> dict:
    return as_kept(judgement, order) | {"shown_order": order}


def test_votes_are_counted_on_the_sides_of_this_screen():
    """Two prefer the first answer, whichever side they saw it on; flags follow the answers."""
    votes = [voted(LEFT, [0, 1]), voted(RIGHT, [1, 0]), voted(Judgement(choice="tie"), [0, 1])]
    votes += [voted(Judgement(choice=choice), [1, 0]) for choice in ("both_bad", "skip")]
    said = told(votes, [1, 0])
    assert (said.left, said.right) == ((0, 0, 0, 0), (1, 0, 0, 1))
    assert (said.tie, said.both_bad, said.skip) == (1, 1, 1)
    assert said.left_flags == {"harmful": 1, "wrong": 1}
    assert said.right_flags == {"wrong": 1}


def test_a_rationale_says_whose_a_it_speaks_of():
    same, swapped = told([voted(LEFT, [0, 1])], [0, 1]), told([voted(LEFT, [0, 1])], [1, 0])
    assert same.rationales == (Rationale("left", swapped=False, text="A is right"),)
    assert swapped.rationales == (Rationale("right", swapped=True, text="A is right"),)


votes = st.lists(st.builds(voted, judgements(), ORDERS.map(list)), max_size=6)


@given(votes, ORDERS, st.randoms())
def test_who_came_first_cannot_be_seen(cast, order, rng):
    shuffled = rng.sample(cast, len(cast))
    assert told(shuffled, order) == told(cast, order)


@given(votes, ORDERS)
def test_every_vote_is_counted_once_and_a_swapped_screen_is_the_mirror(cast, order):
    said, mirror = told(cast, order), told(cast, order[::-1])
    assert sum(said.left) + sum(said.right) + said.tie + said.both_bad + said.skip == len(cast)
    assert (said.left, said.left_flags) == (mirror.right, mirror.right_flags)
    assert (said.tie, said.both_bad, said.skip) == (mirror.tie, mirror.both_bad, mirror.skip)
