from dataclasses import replace

import numpy as np
import pytest
from planted import planted

from gnomon.errors import DataError
from gnomon.stats.crowd import Habits, Shown, assign, chances, hire, reliability_of_flips, vote


def shown(rows, difference=0.0, side=0.0, length=0.0, belief=0.0):
    return Shown(*(np.full(rows, float(x)) for x in (difference, side, length, belief)))


def test_a_vote_depends_on_seed_annotator_and_index_alone():
    crowd = hire(5, Habits(), 0)
    who, when = np.repeat(np.arange(5), 40), np.tile(np.arange(40), 5)
    whole = vote(crowd, who, when, shown(200))
    for row in (0, 77, 199):
        single = vote(crowd, who[row : row + 1], when[row : row + 1], shown(1))
        assert single.outcomes[0] == whole.outcomes[row]
        assert single.seconds[0] == whole.seconds[row]
    again, other = (
        vote(hire(5, Habits(), 0), who, when, shown(200)),
        vote(hire(5, Habits(), 1), who, when, shown(200)),
    )
    assert (again.outcomes == whole.outcomes).all()
    assert (other.outcomes != whole.outcomes).any()


def test_votes_are_as_frequent_as_their_chances_say():
    crowd = hire(3, Habits(spam=0), 1)
    who, when = np.repeat(np.arange(3), 20_000), np.tile(np.arange(20_000), 3)
    look = shown(60_000, 0.4, 1, 0.5)
    cast = vote(crowd, who, when, look)
    said = np.array([np.bincount(cast.outcomes[who == k], minlength=3) for k in range(3)]) / 20_000
    assert said == pytest.approx(chances(crowd, who, when, look)[::20_000], abs=0.012)
    assert np.median(cast.seconds) == pytest.approx(30, rel=0.02)
    assert np.corrcoef(cast.outcomes[who == 0], cast.seconds[who == 0])[0, 1] == pytest.approx(0, abs=0.03)
    assert np.corrcoef(cast.outcomes[:-1], cast.outcomes[1:])[0, 1] < 0.1


def test_swapping_the_answers_mirrors_the_chances():
    crowd = hire(50, Habits(sycophancy=(1.0, 0.3), fatigue=0.1), 2)
    who, when = np.arange(50), np.arange(50)
    found = chances(crowd, who, when, shown(50, 0.7, 1, -0.4, 1), 5)
    mirrored = chances(crowd, who, when, shown(50, -0.7, -1, 0.4, -1), 5)
    assert mirrored[:, ::-1] == pytest.approx(found)


def test_habits_move_votes_the_way_they_say():
    crowd = hire(40, Habits(position=(1.0, 0.1), sycophancy=(1.0, 0.1), fatigue=0.5), 3)
    who, early = np.arange(40), np.zeros(40, dtype=int)
    neutral = chances(crowd, who, early, shown(40))[:, 2].mean()
    assert chances(crowd, who, early, shown(40, side=1))[:, 2].mean() > neutral + 0.1
    assert chances(crowd, who, early, shown(40, belief=1))[:, 2].mean() > neutral + 0.1
    fresh, tired = (chances(crowd, who, early + n, shown(40, 2.0))[:, 2].mean() for n in (0, 300))
    assert fresh > tired + 0.1


def test_spammers_do_not_read_and_are_quick():
    crowd = hire(12, Habits(spam=0.5), 4)
    own = np.flatnonzero(crowd.spam)
    assert own.size == 6
    zeros = np.zeros(6, dtype=int)
    found = [chances(crowd, own, zeros, shown(6, d, 1)) for d in (-3.0, 3.0)]
    assert found[0] == pytest.approx(found[1])
    assert sorted(found[0].argmax(axis=1)) == [1, 1, 1, 1, 2, 2] or found[0][:, 2].max() > 0.98
    assert (crowd.seconds[own] == 3).all()


@pytest.mark.parametrize("flips", [0.05, 0.25, 0.4])
def test_annotators_flip_as_many_votes_as_they_should(flips):
    """Votes of an annotator at that reliability, on 200,000 pairs, half of them shown the other way round."""
    habits = Habits(position=(0.2, 0.0), length=(0.0, 0.0), log_threshold=(-0.7, 0.0))
    reliability = reliability_of_flips(flips, habits)
    crowd = hire(1, replace(habits, reliability=(reliability, 0.0)), 0)
    random = np.random.default_rng(0)
    differences, sides = random.normal(size=200_000), random.choice([-1.0, 1.0], 200_000)
    nobody, when = np.zeros(200_000), np.arange(200_000)
    said = vote(crowd, np.zeros(200_000, dtype=int), when, Shown(differences, sides, nobody, nobody)).outcomes
    decided = said != 1
    wrong = (said[decided] == 2) != (differences[decided] > 0)
    assert wrong.mean() == pytest.approx(flips, abs=0.005)


def test_half_the_votes_flipped_is_no_reliability_at_all():
    assert reliability_of_flips(0.5, Habits()) == 0
    for flips in (0.01, 0.51):
        with pytest.raises(DataError, match=r"from 0\.02 to 0\.5"):
            reliability_of_flips(flips, Habits())


def test_every_pair_gets_as_many_annotators_as_it_should():
    given = assign(50, 8, 3, 0)
    assert np.bincount(given.pairs).tolist() == [3] * 50
    assert len(np.unique(np.column_stack([given.pairs, given.annotators]), axis=0)) == 150
    for k in range(8):
        own = given.indices[given.annotators == k]
        assert own.tolist() == list(range(len(own)))


def test_a_crowd_that_cannot_be_is_refused():
    with pytest.raises(DataError, match="9 votes on each pair, but only 8"):
        assign(5, 8, 9, 0)
    with pytest.raises(DataError, match="0 annotators"):
        hire(0, Habits(), 0)


def test_planted_crowds_are_the_same_again():
    one, other = planted(5, Habits()), planted(5, Habits())
    assert (one.votes.outcomes == other.votes.outcomes).all()
