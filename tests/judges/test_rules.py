from pairs import pair

from gnomon.judges.judgement import Abstention
from gnomon.judges.rules import ChecksJudge, CoinToss, LongestWins


def test_the_answer_that_passes_more_checks_wins():
    checks = [{"kind": "words", "max": 3}, {"kind": "contains_any", "values": ["owl"]}]
    judge = ChecksJudge({"a": checks, "b": checks})
    rows = [
        pair("a", "An owl.", "A very long answer with an owl"),
        pair("b", "An owl.", "One owl!"),
        pair("c", "x", "y"),
    ]
    more, alike, unknown = judge.prefer(rows)
    assert (more.preference, more.said) == (1.0, ("2 of 2", "1 of 2"))
    assert judge.prefer([rows[0].swap()])[0].preference == 0.0
    assert alike.preference == 0.5
    assert unknown == Abstention("no checks")


def test_the_longer_answer_wins_and_equal_lengths_tie():
    rows = [pair("a", "longer", "short"), pair("b", "no", "yes"), pair("c", "one", "two")]
    assert [said.preference for said in LongestWins().prefer(rows)] == [1.0, 0.0, 0.5]


def test_a_coin_is_fair_and_falls_the_same_way_again():
    rows = [pair(str(i), "x", "y") for i in range(2_000)]
    fell = [said.preference for said in CoinToss(0).prefer(rows)]
    assert 950 < sum(fell) < 1_050
    assert set(fell) == {0.0, 1.0}
    assert [said.preference for said in CoinToss(0).prefer(rows[::-1])] == fell[::-1]
    assert [said.preference for said in CoinToss(1).prefer(rows)] != fell
