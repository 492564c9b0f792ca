from itertools import combinations

import numpy as np
import pytest

from gnomon.errors import DataError
from gnomon.stats.consistency import (
    Triads,
    agreement_of_flips,
    cyclic_triads,
    flips_of_agreement,
    self_agreement,
)


def test_self_agreement_by_hand():
    # Annotator 0 repeats pair 0 alike and pair 1 otherwise; annotator 1's votes are of other pairs.
    pairs, annotators = np.array([0, 1, 0, 1, 0, 2]), np.array([0, 0, 0, 0, 1, 1])
    found = self_agreement(pairs, annotators, np.array([2, 2, 2, 0, 0, 1]))
    assert (found.value, found.n) == (0.5, 2)


def test_nobody_who_repeats_agrees_with_nobody():
    with pytest.raises(DataError, match="no unit has two labels"):
        self_agreement(np.array([0, 1]), np.array([0, 0]), np.array([1, 1]))


def test_one_triad_goes_round_and_three_that_share_a_fourth_answer_do_not():
    # a > b > c > a, and all three beat d.
    winners, losers = np.array([0, 1, 2, 0, 1, 2]), np.array([1, 2, 0, 3, 3, 3])
    assert cyclic_triads(winners, losers) == Triads(1, 4)
    assert cyclic_triads(winners, losers).rate == 0.25
    assert cyclic_triads(losers, winners) == Triads(1, 4), "which way is better does not matter"


def test_the_majority_of_votes_decides_a_pair_and_a_split_does_not():
    winners, losers = np.array([0, 0, 1, 1, 2]), np.array([1, 1, 0, 2, 0])
    assert cyclic_triads(winners, losers) == Triads(1, 1)
    assert cyclic_triads(winners[1:], losers[1:]) == Triads(0, 0)
    with pytest.raises(DataError, match="no three answers"):
        _ = Triads(0, 0).rate


def test_fair_coins_go_round_in_a_quarter_of_triads_and_an_order_in_none():
    random = np.random.default_rng(0)
    first, second = np.array(list(combinations(range(40), 2))).T
    heads = random.random(len(first)) < 0.5
    found = cyclic_triads(np.where(heads, first, second), np.where(heads, second, first))
    assert found.complete == 40 * 39 * 38 / 6
    assert found.rate == pytest.approx(0.25, abs=0.02)
    assert 0.01 < found.below_chance < 0.99
    ordered = cyclic_triads(first, second)
    assert ordered.cyclic == 0
    assert ordered.below_chance < 1e-6


def test_the_p_value_of_coins_is_uniform():
    random, below = np.random.default_rng(1), []
    first, second = np.array(list(combinations(range(12), 2))).T
    for _ in range(400):
        heads = random.random(len(first)) < 0.5
        below.append(
            cyclic_triads(np.where(heads, first, second), np.where(heads, second, first)).below_chance
        )
    assert np.mean(np.array(below) < 0.05) == pytest.approx(0.05, abs=0.04)
    assert np.mean(below) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(("agreement", "flips"), [(0.726, 0.16), (0.66, 0.22), (0.63, 0.245)])
def test_flips_behind_published_agreement(agreement, flips):
    assert flips_of_agreement(agreement) == pytest.approx(flips, abs=5e-3)
    assert agreement_of_flips(flips_of_agreement(agreement)) == pytest.approx(agreement)


def test_flips_of_two_labellers_agree_as_often_as_simulated():
    random = np.random.default_rng(2)
    one, other = random.random((2, 200_000)) < 0.25
    assert np.mean(one == other) == pytest.approx(agreement_of_flips(0.25), abs=5e-3)


def test_what_flips_cannot_give_is_refused():
    with pytest.raises(DataError, match=r"0\.4 is not from 0\.5"):
        flips_of_agreement(0.4)
    with pytest.raises(DataError, match="no share"):
        agreement_of_flips(1.2)
