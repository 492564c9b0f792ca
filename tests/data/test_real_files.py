"""Counts of the published files, each counted another way first (grep, a regular expression, by eye)."""

from collections import Counter

import pytest

from gnomon.data.formats import load
from gnomon.records import Comparison, Demonstration, Prompt

HH = "hh/harmless-base-test-first1500.jsonl.gz"
ALPACA_7B = "alpaca_eval/alpaca-7b_annotations.json.gz"


@pytest.mark.parametrize(
    ("name", "dialect", "kind", "rows", "dropped"),
    [
        (HH, "hh", Comparison, 1500, {"empty response": 4, "prompts differ": 1}),
        ("instructions/gpteacher_roleplay.json", "alpaca", Demonstration, 3146, {}),
        ("instructions/self_instruct_seed_tasks.jsonl", "self_instruct", Demonstration, 175, {}),
        ("instructions/user_oriented_instructions.jsonl", "self_instruct", Demonstration, 252, {}),
        ("alpaca_eval/text_davinci_003_outputs.json", "alpaca", Demonstration, 805, {"empty response": 2}),
        (ALPACA_7B, "alpaca_eval", Comparison, 805, {"answers are equal": 16}),
        ("pandalm/testset-v1.json", "pandalm", Comparison, 999, {"empty response": 54}),
        ("mt_bench/question.jsonl", "mt_bench", Prompt, 80, {}),
        ("ifeval/input_data.jsonl", "prompts", Prompt, 541, {}),
        ("xstest/xstest_prompts.csv", "prompts", Prompt, 450, {}),
    ],
)
def test_rows_and_reasons(published, name, dialect, kind, rows, dropped):
    loaded = load(published(name), on_bad_row="skip")
    assert (loaded.dialect, loaded.rows, dict(loaded.dropped)) == (dialect, rows, dropped)
    assert {type(record) for record in loaded.records} == {kind}
    assert len(loaded.records) == rows - sum(dropped.values())
    assert len({record.id for record in loaded.records}) == len(loaded.records)
    assert loaded.assumed_source == 0


def test_harmlessness_rows_are_read_as_people_wrote_them(published):
    loaded = load(published(HH), on_bad_row="skip")
    assert loaded.examples == {"empty response": (87, 517, 926, 1104), "prompts differ": (1255,)}
    assert Counter(pair.label.source for pair in loaded.records) == {"person": 1495}
    row = {pair.id.split(":")[1]: pair for pair in loaded.records}
    assert len(row["1"].prompt.messages) == 5
    assert row["1"].prompt.messages[2].content == "yep"
    assert row["1"].first[0].content.startswith("No, sorry!  All of these involve a pen")
    assert row["1"].second[0].content.endswith("It’s really funny.")
    assert row["106"].first[0].content.startswith("Human:  insulting")  # a leak inside the answer stays text
    assert [turn.role for turn in row["1320"].prompt.messages][-4:] == [
        "assistant",
        "user",
        "assistant",
        "user",
    ]


def test_votes_of_three_people(published):
    loaded = load(published("pandalm/testset-v1.json"), on_bad_row="skip")
    preferences = Counter(round(pair.label.preference, 2) for pair in loaded.records)
    assert set(preferences) == {0.0, 0.17, 0.33, 0.5, 0.67, 0.83, 1.0}
    by_id = {pair.id: pair for pair in loaded.records}
    assert by_id["0"].label.preference == 0.0
    assert by_id["157"].first[0].content == "True"  # published as JSON true, shown to people as a word


def test_a_model_judged_alpaca_eval(published):
    loaded = load(published(ALPACA_7B), on_bad_row="skip")
    assert Counter(pair.label.preference for pair in loaded.records) == {1.0: 584, 0.0: 205}
    assert {(pair.label.source, pair.label.annotator) for pair in loaded.records} == {
        ("ai", "alpaca_eval_gpt4")
    }


def test_later_turns_are_counted(published):
    assert load(published("mt_bench/question.jsonl")).later_turns == 80
