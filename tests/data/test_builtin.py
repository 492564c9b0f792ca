"""What the built-in rows promise; `src/gnomon/data/builtin/README.md` says it in words."""

import json
import re
from collections import Counter

import pytest

from gnomon.constitution.principles import load_constitution
from gnomon.data.formats import load
from gnomon.data.sources import FOLDER, Reader
from gnomon.data.splits import near_duplicates, opening
from gnomon.evaluation.prompts import builtin, checked
from gnomon.judges import counting
from gnomon.judges.text import boilerplate, closers, continues, loops, role_leak
from gnomon.judges.verifiable import run_checks
from gnomon.records import Comparison, Demonstration, Prompt

KINDS = {
    "demonstrations": Demonstration,
    "comparisons": Comparison,
    "prompts": Prompt,
    "red_team": Prompt,
    "evaluation": Prompt,
}
PREFIX = {
    "demonstrations": "sft-{}-",
    "comparisons": "pair-{}-",
    "prompts": "policy-{}-",
    "red_team": "{}-",
    "evaluation": "eval-{}-",
}
KEYS = {
    "demonstrations": ["id", "messages"],
    "comparisons": ["id", "prompt", "chosen", "rejected", "reason"],
    "prompts": ["id", "prompt", "checks"],
    "red_team": ["id", "prompt"],
    "evaluation": ["id", "prompt", "checks"],
}
ROWS = {name: Reader().read(name, kind, ["builtin"]) for name, kind in KINDS.items()}
DEMONSTRATIONS, COMPARISONS = ROWS["demonstrations"], ROWS["comparisons"]
FILES = sorted(FOLDER.glob("*/*.jsonl"))
GOOD = [
    *((row.id, row.prompt.messages[-1].content, row.response) for row in DEMONSTRATIONS),
    *((row.id, row.prompt.messages[-1].content, row.chosen[0].content) for row in COMPARISONS),
]
TYPEWRITTEN = re.compile(r"[ -~\n]|[^\W\d_]|¿")
"""ASCII, letters of any language, and the mark a Spanish question opens with."""


def test_there_are_enough_rows_of_enough_kinds():
    assert len(DEMONSTRATIONS) >= 400
    assert len({row.family for row in DEMONSTRATIONS}) >= 20
    assert len(COMPARISONS) >= 250
    assert len(ROWS["prompts"]) >= 200
    assert len(ROWS["evaluation"]) >= 150
    assert len(load_constitution("builtin").principles) >= 12


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_row_of_a_file_has_its_keys_and_a_numbered_id(path):
    kind = path.parent.name
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert re.fullmatch("[a-z_]+", path.stem)
    assert [row["id"] for row in rows] == [
        f"{PREFIX[kind].format(path.stem)}{number:03d}" for number in range(1, len(rows) + 1)
    ]
    assert all(list(row) == KEYS[kind] for row in rows)
    if kind == "comparisons":
        assert {row["reason"] for row in rows} == {path.stem}


def test_no_two_prompts_are_nearly_the_same():
    rows = [row for kind in ROWS.values() for row in kind]
    assert [(rows[i].id, rows[j].id) for i, j in near_duplicates([_asks(row) for row in rows])] == []
    assert len({row.id for row in rows}) == len(rows)


@pytest.mark.parametrize(
    "name",
    [
        *("alpaca_eval/text_davinci_003_outputs.json", "ifeval/input_data.jsonl", "mt_bench/question.jsonl"),
        *("xstest/xstest_prompts.csv", "hh/harmless-base-test-first1500.jsonl.gz"),
    ],
)
def test_no_prompt_resembles_a_published_one(published, name):
    others = [_asks(row) for row in load(published(name), on_bad_row="skip").records]
    ours = [_asks(row) for kind in ROWS.values() for row in kind]
    pairs = near_duplicates(ours + others)
    assert [(ours[i], others[j - len(ours)]) for i, j in pairs if i < len(ours) <= j] == []


def test_comparisons_are_constructed_for_a_reason_and_decided():
    assert {(row.label.source, row.label.preference) for row in COMPARISONS} == {("constructed", 1.0)}
    assert min(Counter(row.label.reason for row in COMPARISONS).values()) >= 15


def test_the_longer_answer_is_no_clue_to_the_better_one():
    longer = [
        counting.words(row.chosen[0].content) - counting.words(row.rejected[0].content) for row in COMPARISONS
    ]
    assert 0.45 <= sum(difference > 0 for difference in longer) / len(COMPARISONS) <= 0.55
    assert 0.45 <= sum(difference < 0 for difference in longer) / len(COMPARISONS) <= 0.55


def test_good_answers_are_short_and_plain():
    assert [name for name, _, answer in GOOD if counting.words(answer) > 75] == []
    assert [name for name, _, answer in GOOD if boilerplate(answer) or closers(answer)] == []


def test_good_answers_answer():
    wrong = [name for name, ask, text in GOOD if role_leak(text) or loops(text) or continues(ask, text)]
    assert wrong == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_punctuation_is_that_of_a_keyboard(path):
    texts = [text for line in path.read_text("utf-8").splitlines() for text in _texts(json.loads(line))]
    assert TYPEWRITTEN.sub("", "".join(texts)) == ""
    assert all(text == text.strip() for text in texts)


def test_most_evaluation_prompts_can_be_checked_and_every_check_can_be_run():
    suite = builtin()
    assert sum(bool(prompt.checks) for prompt in suite) > 0.8 * len(suite)
    assert sum(bool(prompt.checks) for prompt in checked(ROWS["prompts"])) > 100


def test_no_prompt_passes_as_its_own_answer():
    fooled = [
        prompt.id
        for prompt in (*builtin(), *ROWS["prompts"])
        for text in (prompt.conversation.text, f"{prompt.conversation.text}\n\n{prompt.conversation.text}")
        if prompt.checks and all(run_checks(text, prompt.checks))
    ]
    assert fooled == []


def test_the_data_card_counts_right():
    card = (FOLDER / "README.md").read_text("utf-8")
    for path in FILES:
        rows = len(path.read_text("utf-8").splitlines())
        section = card.split(f"### {path.parent.name}/", 1)[1].split("###")[0]
        assert f"{path.stem} {rows}" in re.split(r"[,.\n] ?", section), path.stem
    for kind, rows in ROWS.items():
        assert f"### {kind}/ ({len(rows)} rows)" in card


def _asks(row):
    return opening(row.prompt if hasattr(row, "prompt") else row.conversation)


def _texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
