from dataclasses import replace

import numpy as np
import pytest
from planted import auc, flipped, planted

from gnomon.errors import DataError
from gnomon.stats.annotators import fit_annotators, update
from gnomon.stats.crowd import Habits
from gnomon.stats.evidence import TRAITS
from gnomon.stats.votes import Pairs, Votes, score_design


def test_what_is_planted_is_found():
    made = planted(0, Habits(), size=30, pairs=1_500)
    fit = fit_annotators(made.votes, made.pairs)
    assert fit.settled
    for column, name in enumerate(TRAITS):
        found, true = fit.trait(name).value, made.crowd.traits[:, column]
        assert np.corrcoef(found, true)[0, 1] > 0.75, name
        assert np.abs(found - true).mean() < 0.25, name
    assert np.corrcoef(fit.quality().value, made.differences)[0, 1] > 0.85


@pytest.mark.parametrize("kinds", [2, 3, 5])
def test_intervals_hold_what_is_planted(kinds):
    habits = Habits(reliability=(1.5, 0.6), length=(0.0, 0.2))
    held: dict[str, list[float]] = {name: [] for name in (*TRAITS, "quality")}
    for seed in range(20):
        made = planted(seed, habits, pairs=300, kinds=kinds)
        fit = fit_annotators(made.votes, made.pairs)
        for column, name in enumerate(TRAITS):
            found, true = fit.trait(name, 0.9), made.crowd.traits[:, column]
            held[name].append(float(np.mean((found.low <= true) & (true <= found.high))))
        found = fit.quality(0.9)
        held["quality"].append(
            float(np.mean((found.low <= made.differences) & (made.differences <= found.high)))
        )
    shares = {name: float(np.mean(own)) for name, own in held.items()}
    if kinds == 2:
        del shares["log_threshold"]
    assert all(0.85 <= share <= 0.95 for share in shares.values()), shares


@pytest.mark.parametrize("spammers", ["random", "first"])
@pytest.mark.parametrize(("items", "size", "count", "flips"), [(60, 40, 4_000, 0.1), (300, 13, 2_600, 0.25)])
def test_spammers_are_told_from_those_who_read(items, size, count, flips, spammers):
    areas = []
    for seed in range(3):
        first, second, annotators, won, honest = flipped(
            seed, items=items, size=size, votes=count, flips=flips, spammers=spammers
        )
        votes = Votes.of(np.arange(count), annotators, won.astype(int), 2, np.ones(count), size)
        pairs = Pairs.of(count, spread=0, design=score_design(first, second, items))
        areas.append(auc(fit_annotators(votes, pairs).trait("reliability").value, honest))
    assert min(areas) >= 0.99, areas


def test_swapping_the_answers_mirrors_all_that_is_found():
    made = planted(3, Habits(spam=0.3))
    design = np.random.default_rng(3).normal(size=(150, 2))
    pairs = replace(made.pairs, gold=np.where(np.arange(150) < 9, np.sign(made.differences), 0))
    pairs = Pairs.of(150, lengths=pairs.lengths, gold=pairs.gold, design=design)
    one, other = fit_annotators(made.votes, pairs), fit_annotators(made.votes.mirrored(), pairs.mirrored())
    assert other.point.traits == pytest.approx(one.point.traits, abs=1e-6)
    assert other.point.weights == pytest.approx(one.point.weights, abs=1e-6)
    assert other.quality().value == pytest.approx(-one.quality().value, abs=1e-6)
    assert other.soft_labels() == pytest.approx(1 - one.soft_labels(), abs=1e-6)
    assert other.better() == pytest.approx(1 - one.better(), abs=1e-6)
    assert other.covariances == pytest.approx(one.covariances, abs=1e-6)


def test_neither_the_order_of_votes_nor_of_annotators_matters():
    made = planted(4, Habits())
    random = np.random.default_rng(4)
    order, names = random.permutation(len(made.votes.pairs)), random.permutation(20)
    one = fit_annotators(made.votes, made.pairs)
    shuffled = made.votes.take(order)
    other = fit_annotators(replace(shuffled, annotators=names[shuffled.annotators]), made.pairs)
    assert other.point.traits[names] == pytest.approx(one.point.traits, abs=1e-6)
    assert other.covariances[names] == pytest.approx(one.covariances, abs=1e-6)


def test_those_who_have_not_voted_are_as_the_population():
    made = planted(5, Habits())
    fit = fit_annotators(replace(made.votes, crowd=22), made.pairs)
    assert fit.point.traits[21] == pytest.approx(fit.population.means, abs=2e-3)
    wider = np.sqrt(np.diag(fit.covariances[21])) / fit.population.spreads
    assert wider.min() >= 1, "the population's means and spreads are not known for certain"
    assert wider.max() < 1.15


def test_gold_decides_which_way_is_up():
    """Two in three vote against what they see; without gold, they would be believed."""
    made = planted(6, Habits(reliability=(2.0, 0.2), position=(0.0, 0.1)), pairs=300)
    against = made.votes.annotators % 3 > 0
    outcomes = np.where(against, 2 - made.votes.outcomes, made.votes.outcomes)
    votes = replace(made.votes, outcomes=outcomes)
    gold = np.where(np.arange(300) < 60, np.sign(made.differences), 0)
    fit = fit_annotators(votes, Pairs.of(300, gold=gold))
    assert (np.sign(fit.trait("reliability").value) == np.where(np.arange(20) % 3, -1, 1)).all()
    assert np.corrcoef(fit.quality().value, made.differences)[0, 1] > 0.8
    believed = fit_annotators(votes, Pairs.of(300))
    assert np.corrcoef(believed.quality().value, made.differences)[0, 1] < -0.8


def test_a_given_difference_is_what_annotators_are_held_against():
    made = planted(7, Habits(), pairs=300)
    fit = fit_annotators(made.votes, Pairs.of(300, spread=0, known=made.differences))
    assert fit.quality().value == pytest.approx(made.differences)
    found = fit.trait("reliability")
    assert np.mean((found.low <= made.crowd.traits[:, 0]) & (made.crowd.traits[:, 0] <= found.high)) >= 0.75
    assert np.abs(found.value - made.crowd.traits[:, 0]).mean() < 0.35


def test_features_say_what_votes_alone_cannot():
    made = planted(8, Habits(reliability=(1.0, 0.3)), pairs=400, overlap=2)
    noisy = made.differences[:, None] + 0.3 * np.random.default_rng(8).normal(size=(400, 1))
    alone = fit_annotators(made.votes, made.pairs)
    helped = fit_annotators(made.votes, Pairs.of(400, lengths=made.pairs.lengths, design=noisy))
    one, other = (np.corrcoef(f.quality().value, made.differences)[0, 1] for f in (alone, helped))
    assert other > one + 0.1
    assert helped.point.weights[0] > 0.5


def test_more_votes_move_a_fit_nearly_as_fitting_all_anew_does():
    made = planted(9, Habits(), size=25, pairs=600)
    old = np.arange(len(made.votes.pairs)) < 2_700
    before = fit_annotators(made.votes.take(np.flatnonzero(old)), made.pairs)
    after = update(before, made.votes.take(np.flatnonzero(~old)), made.pairs)
    anew = fit_annotators(made.votes, made.pairs)
    for column in range(4):
        apart, moved = (np.abs(x.point.traits - anew.point.traits)[:, column] for x in (after, before))
        assert apart.mean() < 0.7 * moved.mean(), TRAITS[column]
    close = np.abs(after.quality().value - anew.quality().value).mean()
    assert close < 0.4 * np.abs(before.quality().value - anew.quality().value).mean()
    error = np.sqrt(after.covariances[:, 0, 0]) / np.sqrt(anew.covariances[:, 0, 0])
    assert error == pytest.approx(np.ones(25), rel=0.15)


def test_an_update_leaves_alone_whom_it_does_not_concern():
    made = planted(10, Habits())
    before = fit_annotators(made.votes, made.pairs)
    after = update(before, Votes.of([0, 1], [3, 3], [2, 2], crowd=20), made.pairs)
    others = np.arange(20) != 3
    assert (after.point.traits[others] == before.point.traits[others]).all()
    assert (after.shares[2:] == before.shares[2:]).all()
    assert after.quality().value[0] > before.quality().value[0]


def test_a_scale_of_five_widens_where_strong_words_are_rare():
    made = planted(11, Habits(), pairs=1_500, kinds=5)
    fit = fit_annotators(made.votes, made.pairs)
    assert fit.point.gaps == pytest.approx([0.0], abs=0.15), "simulated crowds have cuts at 1 and 2"


@pytest.mark.parametrize(
    ("outcomes", "kinds"), [([2], 3), ([1] * 50, 3), ([1] * 50, 2), (([2] * 5 + [0] * 5) * 5, 3)]
)
def test_votes_that_say_all_the_same_leave_every_estimate_finite(outcomes, kinds):
    """One vote, all ties, all for what stands first, and pairs on which nobody ever disagrees."""
    rows = np.arange(len(outcomes))
    fit = fit_annotators(Votes.of(rows % 10, rows // 10, outcomes, kinds, np.ones(len(rows))), Pairs.of(10))
    assert fit.settled
    assert np.isfinite(fit.point.traits).all()
    assert (np.diagonal(fit.covariances, axis1=1, axis2=2) > 0).all()
    assert ((fit.soft_labels() >= 0) & (fit.soft_labels() <= 1)).all()


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(DataError, match="a vote on pair 2, but only 2"):
        fit_annotators(Votes.of([2], [0], [1]), Pairs.of(2))
