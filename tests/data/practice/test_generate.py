"""Prompts for practice: as many as asked for, no two alike, none like what tests."""

import re
from collections import Counter

import pytest

from gnomon.data.composing.wordings import ALL_WORDINGS
from gnomon.data.formats import load
from gnomon.data.practice.generate import practice, prompts_made
from gnomon.data.practice.kinds import KINDS
from gnomon.data.practice.tasks import tasks
from gnomon.data.reader import Reader
from gnomon.data.splits import near_duplicates, opening
from gnomon.errors import DataError
from gnomon.evaluation.prompts import checked
from gnomon.records import Comparison, Demonstration, Prompt

MADE = prompts_made(2200, 0)
APART = prompts_made(300, 0, apart=True)
TEXTS = [made.prompt.conversation.text for made in (*MADE, *APART)]


def test_the_seed_decides_and_fewer_are_the_first_of_more():
    few = practice(30, 0)
    assert few == [made.prompt for made in MADE[:30]]
    assert few != practice(30, 1)
    assert [prompt.id for prompt in few[:2]] == ["verifiable-0001", "verifiable-0002"]


def test_there_are_thousands_and_no_two_are_nearly_the_same():
    assert len({made.prompt.id for made in (*MADE, *APART)}) == len(TEXTS) == 2500
    own = TEXTS[: len(MADE)]
    assert list(near_duplicates(own)) == []
    with pytest.raises(DataError, match=r"verifiable:9999: there are \d+ such prompts; ask for as many"):
        practice(9999, 0)


def test_prompts_that_test_are_of_topics_that_nothing_trains_on():
    assert {made.task.topic for made in MADE} & {made.task.topic for made in APART} == set()
    assert len(tasks(apart=True)) > len(tasks(apart=False)) / 10


def test_kinds_take_turns_and_every_check_can_be_run():
    counts = Counter(constraint.kind for made in MADE for constraint in made.constraints)
    assert set(counts) == {kind.name for kind in KINDS}
    assert min(counts.values()) >= 15
    assert Counter(len(made.constraints) for made in MADE).keys() == {1, 2, 3}
    prompts = checked([made.prompt for made in (*MADE, *APART)])
    assert all(len(made.constraints) == len(made.prompt.checks) for made in MADE)
    assert all(prompt.family.startswith("verifiable_") for prompt in prompts)


def test_the_request_and_every_constraint_are_said():
    for made in MADE:
        text = made.prompt.conversation.text
        assert made.task.request.rstrip(".") in text, text
        for constraint in made.constraints:
            for name, value in constraint.values.items():
                if isinstance(value, str) and name not in ("labels", "sample", "mark"):
                    assert value.lower() in text.lower(), text


def test_prompts_are_short_enough_for_a_small_model():
    lengths = sorted(len(made.prompt.conversation.text.split()) for made in MADE)
    assert lengths[len(lengths) // 2] < 40
    assert lengths[-1] < 110


def test_no_prompt_resembles_what_is_built_in():
    kinds = {"demonstrations": Demonstration, "comparisons": Comparison}
    kinds |= dict.fromkeys(("prompts", "red_team", "evaluation", "dev"), Prompt)
    rows = [
        row for name, kind in kinds.items() for row in Reader().read("evaluation", kind, [f"builtin:{name}"])
    ]
    others = [opening(row.prompt if hasattr(row, "prompt") else row.conversation) for row in rows]
    pairs = near_duplicates(TEXTS + others)
    assert [(TEXTS[i], others[j - len(TEXTS)]) for i, j in pairs if i < len(TEXTS) <= j] == []


def test_no_prompt_resembles_one_of_the_yardstick_nor_does_a_wording(published):
    others = [opening(row.conversation) for row in load(published("ifeval/input_data.jsonl")).records]
    assert len(others) > 500
    pairs = near_duplicates(TEXTS + others)
    assert [(TEXTS[i], others[j - len(TEXTS)]) for i, j in pairs if i < len(TEXTS) <= j] == []
    said = [" ".join(re.findall(r"\w+", text.lower())) for text in others]
    wordings = [text for forms in ALL_WORDINGS.values() for text in forms["sentences"] if "{" not in text]
    mine = [" ".join(re.findall(r"\w+", text.lower())) for text in wordings]
    assert [text for text in mine if len(text.split()) > 4 and any(text in prompt for prompt in said)] == []
