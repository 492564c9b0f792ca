"""The road that pays by checks and a rule of form, without reward models, examined by a suite."""

import json
import shutil

import pytest
from heard import RECIPES, journey

from gnomon.recipe import load_recipe
from gnomon.runs import read_metrics

TINY = RECIPES / "verifiable-tiny.yaml"
STAGES = [
    "data",
    "sft",
    "policy",
    "answers_base",
    "answers_sft",
    "answers_policy",
    "suites_sft",
    "suites_policy",
]
ROWS = [
    ("Name three birds. Use no commas.", "punctuation:no_comma", {}),
    ("Tell me of rain with a title in << >>.", "detectable_format:title", {}),
    (
        "What do owls eat? At least two sentences, please.",
        "length_constraints:number_sentences",
        {"relation": "at least", "num_sentences": 2},
    ),
]


def file_of(folder, rows=ROWS):
    path = folder / "yardstick.jsonl"
    published = [
        {"key": key, "prompt": prompt, "instruction_id_list": [kind], "kwargs": [kwargs]}
        for key, (prompt, kind, kwargs) in enumerate(rows)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in published), "utf-8")
    return path


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verifiable")
    suite = f"evaluation.suites=[ifeval={file_of(folder)}]"
    _, heard = journey(TINY, [suite], folder / "run")
    return folder / "run", heard, json.loads((folder / "run" / "summary.json").read_text("utf-8")), suite


def test_no_reward_model_is_trained_and_the_policy_is(walked):
    _, heard, summary, _ = walked
    assert heard.made == STAGES
    assert list(heard.expected) == STAGES[1:]
    assert not {"reward", "reward_second", "constitution"} & summary.keys()
    assert set(summary["models"]) == {"base", "sft", "policy"}
    assert summary["policy"]["reward/agreement"] is None


def test_what_pays_is_logged_term_by_term(walked):
    out, *_ = walked
    rows = read_metrics(out / "metrics" / "policy.jsonl")
    assert len(rows) == 2
    for row in rows:
        assert {"checks", "term/form", "reward/replaced", "kl/reference", "loss/ptx"} <= row.keys()
        assert 0 <= row["term/form"] <= 1
        assert "reward/second" not in row


def test_practised_and_held_out_kinds_are_reported_apart_with_intervals(walked):
    _, _, summary, _ = walked
    suite = summary["suites"]["ifeval"]
    assert summary["tasks"] == {"ifeval": 3}
    for name in ("sft", "policy"):
        own = suite["models"][name]
        assert (own["practised_strict"]["n"], own["held_out_strict"]["n"]) == (2, 1)
        assert all(own[key]["low"] <= own[key]["value"] <= own[key]["high"] for key in own)
    compared = {(row["of"], row["over"], row["metric"]) for row in suite["differences"]}
    assert {("policy", "sft", name) for name in ("practised_strict", "held_out_strict")} <= compared


def test_the_report_shows_them(walked):
    out, *_ = walked
    page = (out / "report.html").read_text("utf-8")
    assert "Suite: ifeval" in page
    assert "Practised kinds, strict" in page
    assert "Held-out kinds, strict" in page
    assert "Checks and form" in page
    assert "RLHF" not in page


def test_looks_at_a_suite_are_counted(walked):
    out, *_ = walked
    counts = json.loads((out / "manifest.json").read_text("utf-8"))["test_openings"]
    assert counts["suites_sft"] == counts["suites_policy"] == 1


def test_another_suite_file_makes_only_the_examination_again(walked, tmp_path):
    out, _, _, _ = walked
    copied = shutil.copytree(out, tmp_path / "run")
    other = file_of(tmp_path, [("Say hello to a goose. No commas.", "punctuation:no_comma", {})])
    _, heard = journey(TINY, [f"evaluation.suites=[ifeval={other}]"], copied)
    assert heard.made == ["data", "suites_sft", "suites_policy"]
    found = json.loads((copied / "summary.json").read_text("utf-8"))["suites"]["ifeval"]["models"]["sft"]
    assert "held_out_strict" not in found


def test_checks_alone_may_pay(tmp_path):
    alone = ["policy.rewards=[]", "policy.steps=1", "policy.ptx_coef=0"]
    journey(TINY, alone, tmp_path / "run", until="policy")
    (row,) = read_metrics(tmp_path / "run" / "metrics" / "policy.jsonl")
    assert 0 <= row["checks"] <= 1
    assert "term/form" not in row
    assert row["reward/mean"] <= 0, "nothing but what a missing end costs"


def test_a_rule_of_form_alone_pays_where_prompts_have_no_checks(tmp_path):
    rows = [{"id": f"p{i}", "prompt": f"What is {i} plus {i + 3}, and why?"} for i in (2, 5)]
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    overrides = [f"data.prompts=[{file}]", "policy.rewards=[form]", "policy.resample=0", "policy.ptx_coef=0"]
    journey(TINY, [*overrides, "policy.steps=1"], tmp_path / "run", until="policy")
    (row,) = read_metrics(tmp_path / "run" / "metrics" / "policy.jsonl")
    assert "term/form" in row
    assert "checks" not in row


def test_the_recipe_for_the_default_model_is_the_tiny_one_but_for_sizes():
    recipe, tiny = load_recipe(RECIPES / "verifiable.yaml"), load_recipe(TINY)
    assert recipe.optimises
    assert recipe.reward is None
    assert recipe.policy.rewards == tiny.policy.rewards
    assert recipe.policy.form.resample == tiny.policy.form.resample == 1
    (form,) = recipe.policy.rewards
    assert form.weighs > recipe.policy.checks_weight, "no answer is paid less than any answer"
    assert (recipe.policy.score_bound, recipe.policy.length_neutral) == (None, False)
    assert recipe.data.composed_kinds == "practised"
