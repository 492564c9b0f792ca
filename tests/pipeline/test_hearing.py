"""What several judges of the same pairs come to together."""

import pytest
from pairs import pair

from gnomon.judges.judgement import Judgement
from gnomon.judges.votes import VotesJudge
from gnomon.pipeline.hearing import Hearing


class First:
    """Prefers the first answer, whatever it is asked about."""

    ordered, probabilistic = False, False

    def prefer(self, comparisons):
        return [Judgement.of(1.0, 1.0, "quality")] * len(comparisons)


def test_equal_answers_are_nobodys_votes():
    """Half of the answers are equal, all others are won, and people looked at ten of these."""
    pairs = [pair(f"p{i}", "x", "x" if i < 50 else "y") for i in range(100)]
    hearing = Hearing(pairs, [one.id for one in pairs], [], [])
    hearing.stand_beside("people", VotesJudge({f"p{i}": {"a": 1.0} for i in range(50, 60)}))
    hearing.stand_beside("first", First())
    hearing.anchor("people", ["first"])
    together, alone = hearing.figures["first"]["with_people"], hearing.figures["people"]["win_rate"]
    assert together["value"] == alone["value"] == 0.75
    assert (together["n"], alone["n"]) == (10, 10)
    assert together["low"] < 0.65, "ten votes that are all alike do not settle it"
    assert together["high"] == pytest.approx(0.75)
