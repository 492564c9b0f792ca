import numpy as np
import pytest
from words import said

from gnomon.overopt.planted import Gold, Pairs, choices, exact
from gnomon.overopt.settings import CrowdSettings, GoldSettings

GOLD = Gold(GoldSettings(wanted="ae", charming="!", harm=0.5))


def test_gold_is_the_mean_worth_of_characters():
    """Two wanted of four, less half of one charming of four; capitals count; nothing is worth nothing."""
    assert GOLD(said("axe!", "AX", "zzz", "!!", "")) == pytest.approx([0.375, 0.5, 0.0, -0.5, 0.0])
    assert GOLD.charm(said("axe!", "!!", "")) == pytest.approx([0.25, 1.0, 0.0])


def test_who_sees_the_gold_never_errs():
    pairs = Pairs(said("aa", "x", "x!"), said("ax", "a", "x!"))
    assert exact(pairs, GOLD).tolist() == [1.0, -1.0, 0.0]


def many(count=4000, seed=0):
    """Pairs of random words of six characters."""
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list("aexyzw!k"), size=6)) for _ in range(2 * count)]
    return Pairs(said(*texts[:count]), said(*texts[count:]))


def test_a_crowd_errs_as_often_as_was_planted():
    """A quarter of choices is for what is worse, where differences are near normal and nobody is alike."""
    pairs = many()
    truth = exact(pairs, GOLD)
    votes = choices(pairs, GOLD, CrowdSettings(flips=0.25, variability=0.0), 1, seed=1)[:, 0]
    apart = truth != 0
    assert set(votes) == {1.0, -1.0}
    assert (votes != truth)[apart].mean() == pytest.approx(0.25, abs=0.04)


def test_the_planted_bias_is_what_a_crowd_falls_for():
    """Answers with more charm win where people find it worth more than it takes off, and lose else."""
    pairs = many()
    charm = pairs.differences(GOLD.charm(pairs.samples))
    more = charm != 0

    def followed(charmed):
        votes = choices(pairs, GOLD, CrowdSettings(charmed=charmed), 1, seed=1)[:, 0]
        return float((votes == np.sign(charm))[more].mean())

    assert followed(0.0) < 0.5 < followed(2.0)


def test_each_pair_is_judged_by_different_people_the_same_again():
    pairs = many(300)
    crowd = CrowdSettings(annotators=3)
    votes = choices(pairs, GOLD, crowd, 2, seed=4)
    assert votes.shape == (300, 2)
    assert 0.5 < (votes[:, 0] == votes[:, 1]).mean() < 1
    assert (votes == choices(pairs, GOLD, crowd, 2, seed=4)).all()
    assert (votes != choices(pairs, GOLD, crowd, 2, seed=5)).any()


def test_votes_stand_with_their_pairs():
    """A careful crowd is right far more often than by chance, pair by pair, not only on the whole."""
    pairs = many(500)
    votes = choices(pairs, GOLD, CrowdSettings(flips=0.02, variability=0.0), 2, seed=2)
    truth = exact(pairs, GOLD)
    assert (votes == truth[:, None])[truth != 0].mean() > 0.9
