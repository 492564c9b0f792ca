"""Pairs put before a judge: what is asked, what is kept, what it comes to."""

import json

import pytest
from pairs import pair

from gnomon.errors import StorageError
from gnomon.evaluation.judging import IDENTICAL, judged, outcomes
from gnomon.judges.judgement import Abstention, Judgement
from gnomon.store import KeptRows


class Counting:
    """Prefers the first answer by 0.9 and then by 0.2, says nothing of what is `odd`, and counts."""

    ordered = True

    def __init__(self, *, probabilistic=True):
        self.probabilistic, self.count = probabilistic, 0

    def prefer(self, comparisons):
        self.count += len(comparisons)
        return [
            Abstention("odd") if c.first[0].content == "odd" else Judgement.of(0.9, 0.2, "q", ("a", "b"))
            for c in comparisons
        ]


PAIRS = [pair("p1", "one", "other"), pair("p2", "same", "same"), pair("p3", "odd", "even")]
KEYS = ["k1", "k2", "k3"]


def test_equal_answers_tie_and_no_judge_is_asked(tmp_path):
    judge = Counting()
    said = judged(judge, PAIRS, KeptRows(None), KEYS)
    assert said == [
        Judgement.of(0.9, 0.2, "q", ("a", "b")),
        Judgement.of(0.5, 0.5, IDENTICAL),
        Abstention("odd"),
    ]
    assert judge.count == 2


def test_what_was_judged_is_not_judged_again(tmp_path):
    path, judge, steps = tmp_path / "kept.jsonl", Counting(), []
    first = judged(judge, PAIRS, KeptRows(path), KEYS, lambda *done: steps.append(done))
    assert steps == [(3, 3)]
    assert judged(judge, PAIRS, KeptRows(path), KEYS) == first
    assert judge.count == 2
    path.write_bytes(path.read_bytes()[:-10])  # the last line is cut
    assert judged(judge, PAIRS, KeptRows(path), KEYS) == first
    assert judge.count == 3


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"id": "x", "text": "y"}) + "\n")
    with pytest.raises(StorageError, match="holds other things than judgements"):
        judged(Counting(), PAIRS, KeptRows(tmp_path / "rows.jsonl"), KEYS)


def test_probabilities_count_as_verdicts_and_votes_as_they_are():
    said = [Judgement.of(0.9, 0.8, ""), Judgement.of(0.9, 0.2, ""), Abstention("odd")]
    assert outcomes(Counting(), said) == [1.0, 0.5, None]
    assert outcomes(Counting(probabilistic=False), said) == [pytest.approx(0.85), pytest.approx(0.55), None]
