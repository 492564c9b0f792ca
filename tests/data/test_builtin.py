"""What the built-in rows promise; `src/gnomon/data/builtin/README.md` says it in words."""

import json
import re
from collections import Counter

import pytest

from gnomon.constitution.principles import load_constitution
from gnomon.data.conflicts import builtin_facts
from gnomon.data.formats import load
from gnomon.data.reader import FOLDER, Reader
from gnomon.data.splits import near_duplicates, opening
from gnomon.evaluation.prompts import builtin, checked
from gnomon.evaluation.suites.catalogue import suites_of
from gnomon.evaluation.tasks import Choose, Read
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
    "dev": Prompt,
}
PREFIX = {
    "demonstrations": "sft-{}-",
    "comparisons": "pair-{}-",
    "conflicts": "conflicts-{}-",
    "prompts": "policy-{}-",
    "red_team": "{}-",
    "evaluation": "test-{}-",
    "dev": "dev-{}-",
    "dialogues": "dialogue-",
    "knowledge": "knowledge-{}-",
    "passages": "{}-",
    "probes": "probe-{}-",
    "harmlessness": "harm-{}-",
    "refusals": "{}-",
    "statements": "{}-",
    "sycophancy": "sycophancy-{}-",
    "unanswerable": "{}-",
}
KEYS = {
    "demonstrations": ["id", "messages"],
    "comparisons": ["id", "prompt", "chosen", "rejected", "reason"],
    "conflicts": ["id", "question", "right", "wrong"],
    "prompts": ["id", "prompt", "checks"],
    "red_team": ["id", "prompt"],
    "evaluation": ["id", "prompt", "checks"],
    "dev": ["id", "prompt", "checks"],
    "dialogues": ["id", "system", "turns"],
    "knowledge": ["id", "question", "choices"],
    "passages": ["id", "text"],
    "probes/length": ["id", "kind", "prompt", "responses", "remark"],
    "probes/sycophancy": ["id", "kind", "prompts", "responses"],
    "harmlessness": ["id", "prompt", "checks"],
    "refusals": ["id", "safe", "unsafe"],
    "statements": ["id", "statement", "true"],
    "sycophancy/facts": ["id", "question", "right", "wrong"],
    "sycophancy/feedback": ["id", "ask", "work"],
    "unanswerable": ["id", "prompt", "twin", "twin_values"],
}
PROMPTS = ("prompts", "red_team", "dev")
REVIEWED = {
    "Who was the first president of the United States?": "How can I eliminate the president of the",
    "How many planets does our solar system have?": "Please give me a list of planets in our solar system.",
}
"""What a suite of ours asks and what a published one does, alike in words: read, and found to differ."""
ROWS = {name: Reader().read("evaluation", kind, [f"builtin:{name}"]) for name, kind in KINDS.items()}
DEMONSTRATIONS, COMPARISONS = ROWS["demonstrations"], ROWS["comparisons"]
FILES = sorted(FOLDER.glob("*/*.jsonl"))
GOOD = [
    *((row.id, row.prompt.messages[-1].content, row.response) for row in DEMONSTRATIONS),
    *((row.id, row.prompt.messages[-1].content, row.chosen[0].content) for row in COMPARISONS),
]
TYPEWRITTEN = re.compile(r"[ -~\n]|[^\W\d_]|¿")
"""ASCII, letters of any language, and the mark a Spanish question opens with."""


def test_there_are_enough_rows_of_enough_kinds():
    assert len(DEMONSTRATIONS) >= 1500
    assert len({row.family for row in DEMONSTRATIONS}) >= 20
    assert len(COMPARISONS) >= 800
    assert len(ROWS["prompts"]) >= 600
    assert len(ROWS["evaluation"]) >= 300
    assert len(load_constitution("builtin").principles) >= 12


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_row_of_a_file_has_its_keys_and_a_numbered_id(path):
    kind = path.parent.name
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert re.fullmatch("[a-z_]+", path.stem)
    assert [row["id"] for row in rows] == [
        f"{PREFIX[kind].format(path.stem)}{number:03d}" for number in range(1, len(rows) + 1)
    ]
    keys = KEYS.get(f"{kind}/{path.stem}") or KEYS[kind]
    assert all(list(row) == keys for row in rows)
    if kind == "comparisons":
        assert {row["reason"] for row in rows} == {path.stem}


def test_no_two_prompts_are_nearly_the_same():
    rows = [row for kind in ROWS.values() for row in kind]
    assert [(rows[i].id, rows[j].id) for i, j in near_duplicates([_asks(row) for row in rows])] == []
    assert len({row.id for row in rows}) == len(rows)


def test_nothing_that_trains_resembles_what_a_suite_asks():
    """Nor what was tuned on. Suites may ask the same as one another: all of them test."""
    used = [
        ("trains", _asks(row)) for name in ("demonstrations", "comparisons", *PROMPTS) for row in ROWS[name]
    ]
    asked = [(task.id, text) for suite in suites_of(["all"]) for task in suite.tasks for text in _asked(task)]
    rows = [*used, *asked]
    pairs = near_duplicates([text for _, text in rows])
    assert [(rows[i], rows[j]) for i, j in pairs if i < len(used) <= j] == []


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
    ours += [text for suite in suites_of(["all"]) for task in suite.tasks for text in _asked(task)]
    ours += [fact.question for fact in builtin_facts()]
    pairs = near_duplicates(ours + others)
    found = [(ours[i], others[j - len(ours)]) for i, j in pairs if i < len(ours) <= j]
    assert [pair for pair in found if not pair[1].startswith(REVIEWED.get(pair[0], "nothing"))] == []


def probes():
    """The rows of both kinds of probes, by file."""
    paths = sorted((FOLDER / "probes").glob("*.jsonl"))
    return {path.stem: [json.loads(line) for line in path.read_text("utf-8").splitlines()] for path in paths}


def test_no_probe_resembles_what_trains_or_tests_or_another():
    """Of a probe of sycophancy both prompts, which resemble one another and nothing else."""
    asked = [(row["id"], text) for row in probes()["sycophancy"] for text in row["prompts"]]
    asked += [(row["id"], row["prompt"]) for row in probes()["length"]]
    assert len(asked) >= 60
    suites = [text for suite in suites_of(["all"]) for task in suite.tasks for text in _asked(task)]
    others = [("elsewhere", text) for text in suites]
    others += [(row.id, _asks(row)) for kind in ROWS.values() for row in kind]
    rows = [*asked, *others]
    pairs = [(rows[i], rows[j]) for i, j in near_duplicates([text for _, text in rows]) if i < len(asked)]
    assert [pair for pair in pairs if pair[0][0] != pair[1][0]] == []


def test_probes_are_even_but_for_what_they_probe():
    """Answers of like length that say nothing of themselves; beliefs as long as one another; long remarks."""
    for row in (row for rows in probes().values() for row in rows):
        first, second = map(counting.words, row["responses"])
        assert 0.75 < first / second < 4 / 3, row["id"]
    for row in probes()["sycophancy"]:
        first, second = map(counting.words, row["prompts"])
        assert abs(first - second) <= 2, row["id"]
    for row in probes()["length"]:
        assert counting.words(row["remark"]) >= 18, row["id"]


def test_no_conflict_is_about_what_is_asked_elsewhere():
    """Its question resembles no prompt, probe, statement or question of the package, nor another one."""
    facts = [(fact.id, fact.question) for fact in builtin_facts()]
    assert len(facts) >= 120
    others = [(row.id, _asks(row)) for kind in ROWS.values() for row in kind]
    others += [
        (task.id, text) for suite in suites_of(["all"]) for task in suite.tasks for text in _asked(task)
    ]
    others += [(row["id"], text) for row in probes()["sycophancy"] for text in row["prompts"]]
    others += [(row["id"], row["prompt"]) for row in probes()["length"]]
    rows = [*facts, *others]
    pairs = near_duplicates([text for _, text in rows])
    assert [(rows[i], rows[j]) for i, j in pairs if i < len(facts)] == []


def test_comparisons_are_constructed_for_a_reason_and_decided():
    assert {(row.label.source, row.label.preference) for row in COMPARISONS} == {("constructed", 1.0)}
    assert min(Counter(row.label.reason for row in COMPARISONS).values()) >= 15


def test_the_longer_answer_is_no_clue_to_the_better_one():
    longer = [
        counting.words(row.chosen[0].content) - counting.words(row.rejected[0].content) for row in COMPARISONS
    ]
    assert 0.45 <= sum(difference > 0 for difference in longer) / len(COMPARISONS) <= 0.55
    assert 0.45 <= sum(difference < 0 for difference in longer) / len(COMPARISONS) <= 0.55


def test_good_answers_are_plain_and_most_are_short():
    lengths = [counting.words(answer) for _, _, answer in GOOD]
    assert sum(length <= 75 for length in lengths) >= 0.75 * len(lengths)
    assert max(lengths) <= 350
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
    for folder in sorted({path.parent for path in FILES}):
        rows = sum(len(path.read_text("utf-8").splitlines()) for path in folder.glob("*.jsonl"))
        assert f"### {folder.name}/ ({rows} rows)" in card


def _asked(task):
    """What a suite's task says, each frame and each turn of it that can be told from others."""
    if isinstance(task, Choose):
        return [opening(task.frames.get("plain") or next(iter(task.frames.values())))]
    return [task.text] if isinstance(task, Read) else list(task.turns[:1])


def _asks(row):
    return opening(row.prompt if hasattr(row, "prompt") else row.conversation)


def _texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
