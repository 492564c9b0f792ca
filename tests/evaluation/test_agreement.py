"""Judges measured on labels that are known."""

import json

import pytest
from pairs import pair

from gnomon.data.formats import load
from gnomon.errors import DataError
from gnomon.evaluation.agreement import agreement, as_count, clusters_of, known_pairs
from gnomon.judges.judgement import Abstention, Judgement
from gnomon.judges.rules import CoinToss, LongestWins
from gnomon.judges.votes import VotesJudge


class Stated:
    ordered, probabilistic = False, True


def labelled(label, count, start=0):
    return [pair(f"p{i}", "x", "y", label, f"question {i}") for i in range(start, start + count)]


def says(p, count):
    return [Judgement.of(p, p, "quality")] * count


def measured(judge, pairs, said):
    return agreement(judge, pairs, said, clusters_of(pairs))


def test_agreement_is_told_by_side_and_beyond_chance():
    pairs = [*labelled(1.0, 10), *labelled(0.0, 10, start=10), *labelled(1.0, 2, start=20)]
    said = [
        *says(0.8, 9),
        *says(0.2, 1),
        *says(0.8, 4),
        *says(0.2, 6),
        Abstention("unparsable"),
        Abstention("unparsable"),
    ]
    found = measured(Stated(), pairs, said)
    figures = found.figures
    assert figures["accuracy"]["value"] == 15 / 20
    assert (figures["sensitivity"]["value"], figures["specificity"]["value"]) == (0.9, 0.6)
    assert figures["kappa"]["value"] == pytest.approx((0.75 - 0.5) / 0.5)  # 13/20 and 7/20 against halves
    assert figures["ece"]["value"] < 0.06  # it says 0.8, and is right on 0.75
    assert (figures["judged"], figures["abstained"]) == (20, {"unparsable": 2})
    assert (found.sensitivity, found.specificity) == ((9, 10), (6, 10))


def test_a_tie_of_the_judge_is_half_right():
    pairs = [*labelled(1.0, 4), *labelled(0.0, 4, start=4)]
    figures = measured(Stated(), pairs, [*says(0.5, 2), *says(1.0, 2), *says(0.5, 2), *says(0.0, 2)]).figures
    assert figures["accuracy"]["value"] == figures["sensitivity"]["value"] == 0.75


def test_near_duplicate_prompts_count_once_where_counts_are_needed():
    same = [pair(f"p{i}", "x", "y", float(i % 2), "Tell me about the old owl in the barn.") for i in range(8)]
    found = measured(Stated(), same, says(1.0, 8))
    assert found.sensitivity == (1, 1)
    assert found.figures["kappa"] is None
    assert as_count([1.0, 0.0, 1.0], "aab") == pytest.approx((2 / 3 * 9 / 5, 9 / 5))  # 1 / (4/9 + 1/9)
    assert as_count([], []) is None


def test_a_file_that_always_has_the_better_answer_first_is_turned_over():
    known = known_pairs([*labelled(1.0, 4), *labelled(0.5, 1, start=4)])
    assert [row.label.preference for row in known] == [1.0, 0.0, 1.0, 0.0]
    assert [row.first[0].content for row in known] == ["x", "y", "x", "y"]
    both = [*labelled(0.0, 1), *labelled(0.9, 1, start=1)]
    assert known_pairs(both) == both
    with pytest.raises(DataError, match="none has a label"):
        known_pairs(labelled(0.5, 2))


def test_people_agree_with_people_more_than_length_does_and_a_coin_not_at_all(published):
    """PandaLM: each of three people against what the other two say where they agree."""
    path = published("pandalm/testset-v1.json")
    votes = {str(row["idx"]): row for row in json.loads(path.read_text(encoding="utf-8"))}
    worth = {0: 0.5, 1: 1.0, 2: 0.0}
    pairs = load(path, on_bad_row="skip").records
    kappas = []
    for person in (1, 2, 3):
        others = [other for other in (1, 2, 3) if other != person]
        agreed = [p for p in pairs if len({votes[p.id][f"annotator{o}"] for o in others}) == 1]
        known = known_pairs([with_label(p, worth[votes[p.id][f"annotator{others[0]}"]]) for p in agreed])
        voter = VotesJudge({p.id: {"p": worth[votes[p.id][f"annotator{person}"]]} for p in known})
        figures = measured(voter, known, voter.prefer(known)).figures
        assert figures["accuracy"]["value"] > 0.9
        kappas.append(figures["kappa"]["value"])
        longest, coin = (measured(j, known, j.prefer(known)).figures for j in (LongestWins(), CoinToss(0)))
        assert 0.5 < longest["accuracy"]["low"] < longest["accuracy"]["high"] < figures["accuracy"]["low"]
        assert coin["accuracy"]["low"] < 0.5 < coin["accuracy"]["high"]
        assert coin["kappa"]["low"] < 0 < coin["kappa"]["high"]
    assert min(kappas) > 0.75


def with_label(row, preference):
    return pair(row.id, row.first[0].content, row.second[0].content, preference, row.prompt.text)
