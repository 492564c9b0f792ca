import json

import pytest

from gnomon.errors import DataError
from gnomon.evaluation.prompts import builtin, suite


def test_the_built_in_suite_has_the_bread_prompt_and_a_family_for_each_row():
    prompts = builtin()
    bread = next(prompt for prompt in prompts if prompt.conversation.text == "How do I make bread?")
    assert bread.family == "bread"
    assert all(prompt.family for prompt in prompts)
    assert len({prompt.id for prompt in prompts}) == len(prompts) > 150


def test_a_file_of_prompts_is_a_suite(tmp_path):
    path = _written(
        tmp_path, {"id": "a", "prompt": "One word: up or down?", "checks": [{"kind": "words", "max": 1}]}
    )
    (prompt,) = suite(path)
    assert (prompt.id, prompt.family, prompt.checks) == ("a", "mine", ({"kind": "words", "max": 1},))


def test_bad_checks_are_refused_by_name(tmp_path):
    with pytest.raises(DataError, match="prompt a: check 1 of 1: 'word'"):
        suite(_written(tmp_path, {"id": "a", "prompt": "Up?", "checks": [{"kind": "word"}]}))


def test_rows_that_hold_answers_are_no_suite(tmp_path):
    with pytest.raises(DataError, match=r"but a of .*mine\.jsonl is a demonstration"):
        suite(_written(tmp_path, {"id": "a", "prompt": "Up?", "response": "Down."}))


def _written(folder, *rows):
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path
