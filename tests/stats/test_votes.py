import numpy as np
import pytest

from gnomon.errors import DataError
from gnomon.stats.votes import Pairs, Votes, score_design


def test_mirrored_twice_is_what_it_was():
    votes = Votes.of([0, 1], [0, 0], [4, 1], kinds=5, sides=[1, -1])
    mirror = votes.mirrored()
    assert (mirror.outcomes.tolist(), mirror.sides.tolist()) == ([0, 3], [-1, 1])
    assert mirror.mirrored().outcomes.tolist() == [4, 1]
    pairs = Pairs.of(2, known=np.array([1.0, -2.0]), gold=[1, 0], design=np.array([[1.0], [0.0]]))
    assert pairs.mirrored().known.tolist() == [-1, 2]
    assert pairs.mirrored().design.toarray().ravel().tolist() == [-1, 0]
    assert pairs.mirrored().mirrored().gold.tolist() == [1, 0]


def test_free_scores_are_the_first_answers_less_the_seconds():
    design = score_design(np.array([0, 2]), np.array([1, 0]), 3)
    assert (design @ np.array([1.0, 10.0, 100.0])).tolist() == [-9, 99]


def test_some_votes_keep_the_whole_crowd():
    votes = Votes.of([0, 1, 2], [0, 1, 3], [0, 1, 2])
    assert votes.crowd == 4
    taken = votes.take(np.array([1]))
    assert (taken.pairs.tolist(), taken.crowd) == ([1], 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0], [0, 1], [0]), r"columns of \[1, 2\] rows"),
        (([], [], []), "columns of"),
        (([0], [0], [3]), r"outcomes lie in \[0, 3\)"),
        (([0], [-1], [1]), "annotators lie in"),
        (([0], [0], [0], 1), "at least two kinds"),
    ],
)
def test_votes_that_are_none_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        Votes.of(*arguments)


def test_pairs_that_cannot_be_are_refused():
    with pytest.raises(DataError, match="columns of other lengths"):
        Pairs.of(2, lengths=np.zeros(3))
    with pytest.raises(DataError, match="nothing can differ"):
        Pairs.of(2, spread=0)
