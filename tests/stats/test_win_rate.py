import gzip
import json

import numpy as np
import pytest
from scipy.special import expit, ndtr
from simulated import alike_within, assert_covers, coverage

from gnomon.errors import DataError
from gnomon.stats.clustered import mean_clustered
from gnomon.stats.win_rate import PseudoRows, length_adjusted_win_rate, length_controlled_win_rate

LENGTH = 0.8
"""What the judge of the simulations pays for tanh of the difference in length."""


def shared(published):
    """AlpacaEval's rows of alpaca-7b: preferences and the lengths of its answers minus text_davinci_003's."""
    with gzip.open(published("alpaca_eval/alpaca-7b_annotations.json.gz")) as file:
        rows = json.load(file)
    wins = np.array([{0: 0.5, 1: 0.0, 2: 1.0}[row["preference"]] for row in rows])
    return wins, np.array([len(row["output_2"]) - len(row["output_1"]) for row in rows])


def made_up(wins):
    """Difficulties that follow the preferences, and two pseudo-rows for each instruction."""
    rows = np.arange(wins.size)
    hard = 1.5 * (wins - wins.mean()) + np.sin(1.7 * rows)
    lengths = np.concatenate([-1.2 - 0.5 * np.sin(rows), 1.2 + 0.5 * np.cos(rows)])
    both = np.tile(hard, 2)
    logits = 1.2 * np.tanh(lengths) + 0.6 * both + 0.8 * np.sin(7 * np.arange(lengths.size))
    return hard, PseudoRows(expit(logits), lengths, both)


def test_the_rate_at_equal_length_by_hand():
    # 80 of 100 won where longer by 10, 50 of 100 where shorter: half of logit 0.8 = log 4, odds 2.
    wins = np.repeat([1, 0, 1, 0], [80, 20, 50, 50])
    lengths = np.repeat([10, 10, -10, -10], [80, 20, 50, 50])
    found = length_adjusted_win_rate(wins, lengths)
    assert found.value == pytest.approx(2 / 3)
    assert found.n == 200
    # Var(theta) = (1 / 16 + 1 / 25) / 4, by 200 / 199; Student's t of 199 is 1.97196.
    half = 1.97196 * ((1 / 16 + 1 / 25) / 4 * 200 / 199) ** 0.5
    assert (found.low, found.high) == pytest.approx(
        (expit(np.log(2) - half), expit(np.log(2) + half)), abs=1e-6
    )


def test_a_judge_that_wants_length_alone_finds_no_winner():
    lengths = np.random.default_rng(0).normal(100, 100, 4_000)
    wins = expit(3 * np.tanh(lengths / lengths.std(ddof=1)))
    assert wins.mean() > 0.75
    assert length_adjusted_win_rate(wins, lengths).value == pytest.approx(0.5, abs=1e-6)


def test_neither_units_nor_sides_matter():
    random = np.random.default_rng(1)
    wins, lengths = random.random(200), random.normal(50, 100, 200)
    hard, pseudo = made_up(wins)
    found = length_adjusted_win_rate(wins, lengths)
    assert length_adjusted_win_rate(wins, lengths * 7).value == pytest.approx(found.value)
    other = length_adjusted_win_rate(1 - wins, -lengths)
    assert (other.value, other.low) == pytest.approx((1 - found.value, 1 - found.high))
    turned = PseudoRows(1 - pseudo.preferences, -pseudo.length_differences, -pseudo.difficulties)
    controlled = length_controlled_win_rate(wins, lengths, hard, pseudo)
    mirrored = length_controlled_win_rate(1 - wins, -lengths, -hard, turned)
    assert (mirrored.value, mirrored.low) == pytest.approx(
        (1 - controlled.value, 1 - controlled.high), abs=1e-5
    )


def test_without_weighty_pseudo_rows_or_difficulties_control_is_adjustment():
    random = np.random.default_rng(2)
    wins, lengths = random.random(300), random.normal(50, 100, 300)
    nothing = PseudoRows(np.full(1, 0.5), np.zeros(1), np.zeros(1))
    controlled = length_controlled_win_rate(wins, lengths, np.zeros(300), nothing, penalty=1e-6)
    adjusted = length_adjusted_win_rate(wins, lengths)
    assert controlled.value == pytest.approx(adjusted.value, abs=1e-5)
    assert controlled.high - controlled.low == pytest.approx(adjusted.high - adjusted.low, abs=2e-3)


@pytest.mark.parametrize(
    ("change", "theirs"),
    [
        (lambda wins, lengths: (wins, lengths), 26.307),
        (lambda wins, lengths: (1 - wins, -lengths), 73.738),
        (lambda wins, lengths: (0.1 + 0.8 * wins + 0.1 * np.sin(3 * np.arange(wins.size)), lengths), 31.843),
    ],
    ids=["as they are", "sides changed", "fractions"],
)
def test_it_is_alpaca_evals_figure_on_its_own_rows(published, change, theirs):
    """`theirs`: length_controlled_v1 of alpaca_eval 0.6.6 given the same difficulties and pseudo-rows."""
    wins, lengths = shared(published)
    hard, pseudo = made_up(wins)
    found = length_controlled_win_rate(*change(wins, lengths), hard, pseudo)
    assert 100 * found.value == pytest.approx(theirs, abs=0.05)


def test_length_alone_moves_alpacas_rate_by_less_than_a_point(published):
    wins, lengths = shared(published)
    found = length_adjusted_win_rate(wins, lengths)
    # alpaca_eval 0.6.6, length_controlled_minimal: 25.77; raw 26.46.
    assert 100 * found.value == pytest.approx(25.77, abs=0.2)
    assert found.low < wins.mean() < found.high


@pytest.mark.parametrize("strength", [0.0, 0.7])
@pytest.mark.parametrize("rows", [50, 200])
def test_adjusted_rates_are_covered(rows, strength):
    random = np.random.default_rng(3)
    found = []
    for _ in range(1_200):
        lengths = random.normal(0.5, 1, rows)
        wins = random.random(rows) < expit(strength + LENGTH * np.tanh(lengths))
        found.append(length_adjusted_win_rate(wins, lengths))
    assert_covers(expit(strength), found)


def test_adjusted_rates_of_clusters_are_covered_where_rows_alone_are_not():
    random = np.random.default_rng(4)
    clusters = np.repeat(np.arange(25), 6)
    keys = clusters.tolist()
    doubt = ndtr(alike_within(random, clusters, 0.6)[:1_200])
    lengths = random.normal(0.5, 1, doubt.shape)
    wins = doubt < expit(0.7 + LENGTH * np.tanh(lengths))
    assert_covers(
        expit(0.7), [length_adjusted_win_rate(*row, keys) for row in zip(wins, lengths, strict=True)]
    )
    alone = [length_adjusted_win_rate(*row) for row in zip(wins[:300], lengths[:300], strict=True)]
    assert coverage(expit(0.7), alone) < 0.85


@pytest.mark.parametrize(("rows", "harder"), [(100, 0.5), (300, 0.5), (100, 2.0)])
def test_controlled_rates_are_covered(rows, harder):
    random = np.random.default_rng(5)
    known = random.normal(size=rows)
    lengths = np.concatenate([random.normal(-1.5, 0.5, rows), random.normal(1.5, 0.5, rows)])
    both = np.tile(known, 2)
    pseudo = PseudoRows(expit(LENGTH * np.tanh(lengths) + harder * both), lengths, both)
    found, raw = [], []
    for _ in range(1_200):
        hard, lengths = random.normal(size=rows), random.normal(0.5, 1, rows)
        wins = random.random(rows) < expit(0.7 + LENGTH * np.tanh(lengths) + harder * hard)
        found.append(length_controlled_win_rate(wins, lengths, hard, pseudo, penalty=0.3))
        raw.append(mean_clustered(wins))
    # E expit(0.7 + harder z) by Gauss and Hermite.
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    truth = expit(0.7 + harder * nodes) @ weights / weights.sum()
    assert_covers(truth, found)
    assert coverage(truth, raw) < 0.9


@pytest.mark.parametrize(
    ("wins", "lengths", "message"),
    [
        ([1.0, 0.0, 1.5], [1, 2, 3], r"\[0, 1\]"),
        ([1.0, 0.0, 1.0], [4, 4, 4], "differ alike"),
        ([1.0], [4], "differ alike"),
        ([1.0, 1.0, 1.0], [1, 2, 3], "separates"),
        ([0.0, 0.0, 1.0, 1.0], [-2, -1, 1, 2], "separates"),
        ([1.0, 0.0], [1], "2 values against 1"),
    ],
)
def test_what_no_rate_follows_from_is_refused(wins, lengths, message):
    with pytest.raises(DataError, match=message):
        length_adjusted_win_rate(wins, lengths)


def test_difficulties_and_pseudo_rows_are_one_per_row():
    wins, lengths = np.array([1.0, 0.0, 1.0]), np.array([1.0, 2.0, 3.0])
    hard, pseudo = made_up(wins)
    with pytest.raises(DataError, match="3 values against 2"):
        length_controlled_win_rate(wins, lengths, hard[:2], pseudo)
    with pytest.raises(DataError, match="6 values against 5"):
        PseudoRows(pseudo.preferences, pseudo.length_differences, pseudo.difficulties[:5])
