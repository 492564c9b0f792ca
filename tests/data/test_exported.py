import json

import pytest

from gnomon.data.exported import fits_vote, parse_vote
from gnomon.data.files import BadRow
from gnomon.data.formats import detect, load
from gnomon.records import Label, Message

ROW = {
    "id": 7,
    "item": "moon",
    "annotator": "a-brisk-heron",
    "outcome": "prefer",
    "preferred": 1,
    "purpose": "ordinary",
    "pass_number": 2,
    "rationale": "kinder",
    "source": "person",
    "prompt": [{"role": "user", "content": "Why is the moon grey?"}],
    "responses": [[{"role": "assistant", "content": text}] for text in ("Dust.", "It is made of dust.")],
}


def as_cells(row: dict) -> dict[str, str]:
    """A row as a table has it."""
    return {key: json.dumps(value) if isinstance(value, list) else str(value) for key, value in row.items()}


def test_a_preference_is_a_comparison_by_somebody():
    (found,) = parse_vote(ROW, "7")
    assert found.id == "moon/a-brisk-heron/2"
    assert found.label == Label(0.0, "person", "kinder", annotator="a-brisk-heron")
    assert found.chosen == (Message("assistant", "It is made of dust."),)
    assert detect([ROW], "rows").name == "labels"


def test_how_much_better_an_answer_is_comes_along_as_a_share_of_the_most_that_can_be_said():
    (found,) = parse_vote(ROW | {"strength": 3}, "7")
    assert found.label == Label(0.0, "person", "kinder", annotator="a-brisk-heron", strength=0.75)
    assert parse_vote(as_cells(ROW | {"strength": 3}), "7") == [found]
    (silent,) = parse_vote(as_cells(ROW) | {"strength": ""}, "7")
    assert silent.label.strength is None
    (tie,) = parse_vote(ROW | {"outcome": "tie", "preferred": None, "strength": None}, "7")
    assert tie.label.strength is None


def test_cells_of_a_table_say_the_same():
    cells = as_cells(ROW)
    assert parse_vote(cells, "7") == parse_vote(ROW, "7")
    (tie,) = parse_vote(cells | {"outcome": "tie", "preferred": ""}, "7")
    assert tie.is_tie


def test_a_decision_counts_in_the_place_of_the_votes_on_its_pair():
    decision = ROW | {"pass_number": 0, "label_source": "adjudicated", "decided": True}
    (found,) = parse_vote(decision, "8")
    assert found.id == "moon/a-brisk-heron/0"
    assert found.label == Label(0.0, "person", "kinder", annotator="a-brisk-heron", adjudicated=True)
    assert parse_vote(as_cells(decision), "8") == [found]
    for said in (True, "True"):
        with pytest.raises(BadRow) as caught:
            parse_vote(ROW | {"label_source": "vote", "decided": said}, "7")
        assert caught.value.reason == "decided by an adjudicator"
    assert parse_vote(ROW | {"label_source": "vote", "decided": "False"}, "7") == parse_vote(ROW, "7")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"outcome": "skip", "preferred": None}, "no preference"),
        ({"outcome": "both_bad", "preferred": None}, "no preference"),
        ({"purpose": "gold"}, "a known answer"),
        ({"preferred": 2}, "unknown preference"),
        ({"preferred": ""}, "not a number"),
        ({"strength": 5}, "unknown strength"),
        ({"responses": ROW["responses"][:1]}, "not two answers"),
        ({"responses": "[[", "prompt": "[]"}, "not a record"),
        ({"prompt": [{"role": "nobody", "content": "Hi"}]}, "not a record"),
        ({"responses": [ROW["responses"][0]] * 2}, "answers are equal"),
    ],
)
def test_what_says_nothing_is_counted_by_reason(change, reason):
    with pytest.raises(BadRow) as caught:
        parse_vote(ROW | change, "7")
    assert caught.value.reason == reason


def test_an_export_without_texts_is_told_from_other_files(tmp_path):
    bare = {key: value for key, value in ROW.items() if key not in ("prompt", "responses")}
    assert fits_vote(bare)
    (tmp_path / "bare.jsonl").write_text(json.dumps(bare), "utf-8")
    assert load(tmp_path / "bare.jsonl", on_bad_row="skip").dropped == {"no text": 1}
