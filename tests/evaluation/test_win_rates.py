"""Win rates on planted judges, whose faults must be seen."""

import numpy as np
import pytest
from pairs import pair

from gnomon.errors import DataError
from gnomon.evaluation.agreement import Agreement
from gnomon.evaluation.judging import IDENTICAL
from gnomon.evaluation.win_rates import anchored, corrected, win_rate_figures
from gnomon.judges.judgement import Abstention, Judgement
from gnomon.judges.rules import LongestWins
from gnomon.stats.prevalence import Count


class Verdicts:
    """What a judge is, as far as figures ask."""

    ordered, probabilistic = True, False

    def prefer(self, comparisons):
        raise NotImplementedError


def figures(said, pairs=None, clusters=None, agreement=None, judge=None):
    pairs = pairs or [pair(f"p{i}", "x" * (i % 7 + 1), "x" * (i % 5 + 1)) for i in range(len(said))]
    names = clusters or [p.id for p in pairs]
    return win_rate_figures(judge or Verdicts(), pairs, said, names, agreement)


def won(worth):
    return Judgement.of(worth, worth, "quality")


def test_wins_ties_and_abstentions_are_counted():
    said = [won(1.0)] * 5 + [won(0.5)] * 2 + [won(0.0)] * 3 + [Abstention("unparsable")] * 2
    found = figures(said)
    assert (found["win_rate"]["value"], found["judged"], found["ties"]) == (0.6, 10, 2)
    assert found["abstained"] == {"unparsable": 2}
    assert found["win_rate"]["low"] < 0.6 < found["win_rate"]["high"]


def test_pairs_of_one_cluster_are_worth_less_than_as_many_apart():
    said = [won(1.0)] * 20 + [won(0.0)] * 10
    alone, together = figures(said), figures(said, clusters=[f"c{i // 5}" for i in range(30)])
    assert together["win_rate"]["value"] == alone["win_rate"]["value"]
    assert together["win_rate"]["high"] - together["win_rate"]["low"] > 0.4
    assert alone["win_rate"]["high"] - alone["win_rate"]["low"] < 0.4


def test_a_judge_that_always_says_the_first_wins_half_and_always_flips():
    found = figures([Judgement.of(1.0, 0.0, "quality")] * 40)
    assert found["win_rate"]["value"] == found["length_adjusted"]["value"] == 0.5
    assert found["flips"]["value"] == 1.0


def test_equal_answers_tell_nothing_of_flips():
    alike = Judgement.of(0.5, 0.5, IDENTICAL)
    found = figures([Judgement.of(1.0, 0.0, "quality"), won(1.0), alike, alike])
    assert (found["flips"]["value"], found["flips"]["n"]) == (0.5, 2)


def test_a_judge_that_sees_no_order_has_no_flips():
    assert "flips" not in figures([won(1.0), won(0.0)] * 5, judge=LongestWins())


def planted(lover, n=3_000):
    """Answers mostly longer than the others', which a judge prefers for their length alone."""
    random = np.random.default_rng(4)
    longer = np.round(random.normal(60, 100, n))
    pairs = [pair(f"p{i}", "x" * int(500 + d), "x" * 500) for i, d in enumerate(longer)]
    chance = 1 / (1 + np.exp(-lover * np.tanh(longer / longer.std(ddof=1))))
    return pairs, [won(float(w)) for w in random.random(n) < chance]


def test_a_judge_that_loves_length_is_caught_by_the_adjustment():
    pairs, said = planted(lover=2.0)
    found = figures(said, pairs)
    assert found["win_rate"]["value"] > 0.62
    assert found["length_adjusted"]["low"] < 0.5 < found["length_adjusted"]["high"]
    assert found["length_adjusted"]["high"] - found["length_adjusted"]["low"] < 0.06


def test_a_judge_that_does_not_care_for_length_is_left_alone():
    pairs, said = planted(lover=0.0)
    found = figures(said, pairs)
    assert found["length_adjusted"]["value"] == pytest.approx(found["win_rate"]["value"], abs=0.02)


def test_where_length_alone_decides_there_is_no_adjusted_figure_and_a_reason():
    pairs, _ = planted(lover=0.0, n=200)
    found = figures(LongestWins().prefer(pairs), pairs, judge=LongestWins())
    assert found["length_adjusted"] is None
    assert "separates" in found["missing"]["length_adjusted"]
    assert found["win_rate"]["value"] > 0.6


def test_a_judge_that_abstains_throughout_has_reasons_and_no_figures():
    found = figures([Abstention("no checks")] * 4)
    assert (found["judged"], found["win_rate"]) == (0, None)
    assert found["missing"] == {"win_rate": "win rate: the judge abstained on every pair"}


def test_a_judges_errors_are_corrected_by_rogan_and_gladen():
    agrees = Agreement({}, Count(80, 100), Count(90, 100))  # right on 80 and on 90 of 100
    found = figures([won(1.0)] * 60 + [won(0.0)] * 40, agreement=agrees)["corrected"]
    assert found["value"] == pytest.approx((0.6 + 0.9 - 1) / (0.8 + 0.9 - 1))
    assert found["low"] < 0.6 < found["high"]  # wider than the raw one, which knows of no errors
    ties = corrected([1.0, 0.5, 0.5, 0.0], list("abcd"), Agreement({}, Count(8, 10), Count(8, 10)))
    assert ties.value == pytest.approx(0.5)


def test_rows_of_one_prompt_are_worth_little_where_a_judge_is_corrected():
    won_half, agrees = [1.0, 0.0] * 50, Agreement({}, Count(80, 100), Count(90, 100))
    even = corrected(won_half, [f"c{i // 5}" for i in range(100)], agrees)
    crowded = corrected(won_half, ["one"] * 81 + [f"c{i}" for i in range(19)], agrees)
    assert crowded.value == even.value
    assert (crowded.n, even.n) == (100, 100)
    assert crowded.high - crowded.low > 1.5 * (even.high - even.low)


def test_a_judge_no_better_than_a_coin_corrects_nothing():
    found = figures([won(1.0)] * 6, agreement=Agreement({}, Count(5, 10), Count(5, 10)))
    assert found["corrected"] is None
    assert "no more often" in found["missing"]["corrected"]
    with pytest.raises(DataError, match="measured on too few"):
        corrected([1.0], ["a"], Agreement({}, None, Count(5, 10)))


def test_a_tie_that_no_judge_is_asked_about_is_not_corrected():
    said = [Judgement.of(0.5, 0.5, IDENTICAL)] * 50 + [won(1.0)] * 45 + [won(0.0)] * 5
    found = figures(said, agreement=Agreement({}, Count(90, 100), Count(70, 100)))
    assert found["win_rate"]["value"] == 0.7
    assert found["corrected"]["value"] == pytest.approx(0.25 + 0.5 * (0.9 + 0.7 - 1) / (0.9 + 0.7 - 1))


def test_a_judge_that_abstains_on_pairs_that_differ_is_read_on_those_it_decides():
    said = [Judgement.of(0.5, 0.5, IDENTICAL)] * 50 + [won(1.0)] * 8 + [won(0.0)] * 2
    told, heard = figures(said), figures([*said, *[Abstention("no votes")] * 40])
    assert told["win_rate"]["value"] == pytest.approx((25 + 8) / 60)
    assert heard["win_rate"]["value"] == pytest.approx(0.25 + 0.5 * 0.8)
    assert (heard["judged"], heard["ties"], heard["win_rate"]["n"]) == (60, 50, 10)
    assert figures([*said[:50], Abstention("no votes")])["win_rate"] is None


def test_people_anchor_a_judge():
    people = [1.0, 1.0, 0.0, 0.0, None, None, None, None, None]
    judge = [1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, None]
    found = anchored(people, judge, list("abcdefghi"), [False] * 9)
    # the judge is right where people voted, with variances of 1 and 3/4 of four rows each: weight 4/7
    assert found.value == pytest.approx(0.5 + 4 / 7 * (0.75 - 0.5))
    assert found.n == 4
    with pytest.raises(DataError, match="not on all"):
        anchored([1.0, 0.0, 1.0], [1.0, 0.0, 1.0], list("abc"), [False] * 3)


def test_a_judge_that_is_always_wrong_by_as_much_does_not_move_what_people_say():
    random = np.random.default_rng(2)
    truth = random.random(2_000) < 0.7
    biased = [float(t or random.random() < 0.5) for t in truth]  # half of what loses wins
    people = [float(t) if i < 300 else None for i, t in enumerate(truth)]
    found = anchored(people, biased, [str(i) for i in range(2_000)], [False] * 2_000)
    assert np.mean(biased) > 0.8
    assert found.low < 0.7 < found.high
    assert found.high - found.low < 2 * 1.96 * (0.7 * 0.3 / 300) ** 0.5
