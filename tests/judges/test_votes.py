import json

import pytest
from pairs import pair

from gnomon.errors import DataError
from gnomon.judges.judgement import Abstention
from gnomon.judges.votes import VotesJudge, read_votes

MODELS, PROMPTS = ("new", "old"), {"p1", "p2"}


def vote(prompt="p1", winner="new", annotator="ann", **more):
    return {"prompt_id": prompt, "winner": winner, "annotator": annotator, **more}


@pytest.fixture
def votes(tmp_path):
    def write(*rows):
        path = tmp_path / "votes.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def test_votes_are_counted_by_prompt_and_person(votes):
    path = votes(vote(), vote(annotator="bob", winner="old"), vote(annotator=7, winner="tie"), vote("p2"))
    found = read_votes(path, MODELS, PROMPTS)
    assert found == {"p1": {"ann": 1.0, "bob": 0.0, "7": 0.5}, "p2": {"ann": 1.0}}
    rows = [pair(name, "x", "y") for name in ("p1", "p2", "p3")]
    split, sure, silent = VotesJudge(found).prefer(rows)
    assert (split.preference, split.said) == (0.5, ("ann: 1", "bob: 0", "7: 0.5"))
    assert sure.preference == 1.0
    assert silent == Abstention("no votes")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (vote("p9"), "there is no prompt 'p9' among those asked"),
        (vote(winner="newer"), "winner 'newer' is not one of 'new', 'old', 'tie'"),
        (vote(winner="old"), "'ann' votes on prompt 'p1' for the second time"),
        (vote(annotator=""), "'annotator' is missing; a vote has prompt_id, winner, annotator"),
        ({"prompt_id": "p1", "annotator": "bob"}, "'winner' is missing"),
        (vote(annotator=["ann"]), "'annotator' is missing"),
    ],
)
def test_a_vote_that_cannot_be_counted_is_named_by_file_and_row(votes, row, problem):
    with pytest.raises(DataError, match=f"row 2 of votes.jsonl: {problem}"):
        read_votes(votes(vote(), row), MODELS, PROMPTS)


def test_what_is_no_row_is_named_too(votes):
    path = votes(vote())
    path.write_text(path.read_text() + "yes\n")
    with pytest.raises(DataError, match=r"row 2 of votes.jsonl: not valid JSON"):
        read_votes(path, MODELS, PROMPTS)
