from dataclasses import replace

import numpy as np
import pytest
from planted import planted
from simulated import coverage

from gnomon.errors import DataError
from gnomon.stats.annotators import fit_annotators
from gnomon.stats.bias import (
    accuracy_alarm,
    length_deviations,
    position_rate,
    position_slope,
    trend,
)
from gnomon.stats.crowd import Habits, Shown, vote
from gnomon.stats.votes import Votes


def test_the_share_for_what_stands_first_by_hand():
    # First, second shown as first: chosen; tie; unknown side: of four decided three for the first place.
    votes = Votes.of(range(6), [0, 1, 2, 3, 0, 1], [2, 0, 2, 0, 1, 2], 3, [1, -1, 1, 1, 1, 0])
    found = position_rate(votes)
    assert (found.value, found.n) == (0.75, 4)
    assert position_rate(votes.mirrored()).value == 0.75


@pytest.mark.parametrize("offset", [0.0, 0.6])
def test_position_slopes_are_covered(offset):
    found = []
    for seed in range(60):
        made = planted(seed, Habits(position=(offset, 0.3)), size=15)
        truth = offset
        found.append(position_slope(fit_annotators(made.votes, made.pairs)))
    assert 0.9 <= coverage(truth, found) <= 1.0
    assert np.mean([one.value for one in found]) == pytest.approx(offset, abs=0.06)


def test_clear_pairs_hide_in_the_share_what_the_slope_tells():
    made = planted(0, Habits(reliability=(4.0, 0.3), position=(1.0, 0.2)), size=25, pairs=600)
    assert position_rate(made.votes).value < 0.65
    assert position_slope(fit_annotators(made.votes, made.pairs)).value == pytest.approx(1.0, abs=0.2)


def test_no_position_slope_from_one_annotator():
    made = planted(1, Habits(), size=2, overlap=1, pairs=40)
    fit = fit_annotators(made.votes.take(np.flatnonzero(made.votes.annotators == 0)), made.pairs)
    with pytest.raises(DataError, match="fewer than two annotators"):
        position_slope(fit)


def test_lengths_are_told_between_annotators_and_not_of_all():
    """All are drawn to length by 1, half of them by 0.5 more: only the half is seen."""
    made = planted(2, Habits(), size=20, pairs=1_000)
    drawn = 1 + np.where(np.arange(20) < 10, 0.5, -0.5)
    traits = np.column_stack([made.crowd.traits[:, :2], drawn, made.crowd.traits[:, 3]])
    votes, rows = made.votes, len(made.votes.pairs)
    lengths, differences = made.pairs.lengths[votes.pairs], made.differences[votes.pairs]
    shown = Shown(differences, votes.sides, lengths, np.zeros(rows))
    cast = vote(replace(made.crowd, traits=traits), votes.annotators, np.arange(rows), shown)
    fit = fit_annotators(
        Votes.of(votes.pairs, votes.annotators, cast.outcomes, 3, votes.sides, 20), made.pairs
    )
    found = length_deviations(fit)
    assert found.value.mean() == pytest.approx(0)
    assert (np.sign(found.value) == np.sign(drawn - 1)).all()
    assert np.mean((found.low <= drawn - 1) & (drawn - 1 <= found.high)) >= 0.75


def test_a_trend_by_hand_and_those_who_say_too_little():
    # 1, 3, 4 at 0, 1, 2: slope 1.5, left over 1/6 on 1 degree, spread 2: t = 1.5 / sqrt(1/12), Cauchy.
    annotators = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    found = trend(annotators, np.array([0, 1, 2, 0, 1, 0, 1, 2]), np.array([1, 3, 4, 0, 1, 1, 1, 1]), 4)
    assert found.slopes == pytest.approx([1.5, 0, 0, 0])
    t = 1.5 * 12**0.5
    assert found.p_values == pytest.approx([1 - 2 * np.arctan(t) / np.pi, 1, 1, 1])
    assert found.adjusted[0] == pytest.approx(4 * found.p_values[0])


def test_tired_annotators_are_found_and_others_left_in_peace():
    random = np.random.default_rng(3)
    annotators, index = np.repeat(np.arange(400), 40), np.tile(np.arange(40), 400)
    fresh = trend(annotators, index, random.random(16_000) < 0.8, 400)
    assert np.mean(fresh.p_values < 0.05) == pytest.approx(0.05, abs=0.025)
    assert (fresh.adjusted < 0.05).mean() < 0.01
    tired = np.where(annotators < 40, 1 - index / 50, 0.8)
    found = trend(annotators, index, random.random(16_000) < tired, 400)
    assert (found.adjusted[:40] < 0.05).mean() > 0.5
    assert (found.slopes[:40] < 0).all()
    assert (found.adjusted[40:] < 0.05).mean() < 0.02


def test_an_alarm_by_hand():
    # Right log(1/2 / 0.8) = -0.47, wrong log(1/2 / 0.2) = 0.916: three wrong in a row are 2.75 > log(10).
    found = accuracy_alarm([True, True, False, True, False, False], 0.8, 0.5, 10)
    wrong, right = np.log(2.5), np.log(0.5 / 0.8)
    assert found.evidence == pytest.approx([0, 0, wrong, wrong + right, 2 * wrong + right, 3 * wrong + right])
    assert found.at is None
    assert accuracy_alarm([False] * 3, 0.8, 0.5, 10).at == 2
    with pytest.raises(DataError, match="must lie below"):
        accuracy_alarm([True], 0.5, 0.8, 10)


def test_false_alarms_are_as_rare_as_they_should_be_and_drops_are_heard():
    random = np.random.default_rng(4)
    waited = []
    for _ in range(200):
        at = accuracy_alarm(random.random(3_000) < 0.85, 0.85, 0.55, 200).at
        waited.append(3_000 if at is None else at)
    assert np.mean(waited) > 200
    heard = [accuracy_alarm(random.random(100) < 0.5, 0.85, 0.55, 200).at for _ in range(100)]
    assert np.median([100 if at is None else at for at in heard]) < 30
