import json

import pytest

from gnomon.constitution.examples import EXAMPLES, load_examples
from gnomon.errors import DataError
from gnomon.judges.pairwise import REPLY


def test_ours_have_either_letter_as_often_and_reasons_that_come_to_it():
    letters = [example.letter for example in EXAMPLES]
    assert letters.count("A") == letters.count("B")
    assert all(example.reasoning.endswith(f"So ({example.letter}) is better.") for example in EXAMPLES)
    assert load_examples("builtin") == EXAMPLES
    assert load_examples("none") == ()


def test_the_question_stands_between_answers_and_reply():
    request = EXAMPLES[0].request("Which is it?")
    assert request.startswith("Request: ")
    assert request.endswith(f"\n\nWhich is it? {REPLY}")
    assert "\n\n(A) " in request


def test_published_pairs_load_with_the_right_answer_in_either_place(published):
    path = published("constitution/RLMadisonFewShotPrompts.json")
    found = load_examples(str(path))
    rows = json.loads(path.read_text())
    assert [example.letter for example in found] == ["B", "A", "B", "A", "B"]
    for example, row in zip(found, rows, strict=True):
        right = example.request("?").split(f"({example.letter}) ")[1]
        assert right.startswith(row["corrects"][0].strip())
        assert "Assistant:" not in example.before


def test_published_chains_of_thought_load_with_their_slot_and_letter(published):
    found = load_examples(str(published("constitution/RLMadisonPrecogFewShotPrompts.json")))
    assert [example.letter for example in found] == ["B", "B", "A", "B", "A", "B"]
    assert all(example.reasoning.startswith("Let's think step by step") for example in found)
    request = found[0].request("Which is kinder? Options:")
    assert "Which is kinder? Options:\n (A) [[[" in request
    assert "{}" not in request


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "are not JSON"),
        ("{}", "a list of objects"),
        ("[]", "a list of objects"),
        ('[{"prompt": "no slot"}]', "number 1 has neither"),
        ('[{"prompt": "Hi", "corrects": ["a"], "incorrects": ["b"]}]', "number 1 has neither"),
        ('[{"prompt": "\\n\\nHuman: Hi\\n\\nAssistant:", "corrects": ["a"]}]', "number 1 has neither"),
        ("[3]", "number 1 has neither"),
    ],
)
def test_other_files_are_refused_by_number(tmp_path, text, message):
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(DataError, match=message):
        load_examples(str(tmp_path / "e.json"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        load_examples(str(tmp_path / "nowhere.json"))
