"""The constitutional road as published, with every labeller, on the small model that was taught it."""

import json

import pytest
from heard import RECIPES, Heard, journey, stage_of
from pages import Page
from taught import BAD, GOOD, OPEN

from gnomon.errors import ConfigError, DataError, ModelError
from gnomon.pipeline.labeller_sweep import sweep
from gnomon.pipeline.rows import read_lines
from gnomon.recipe import load_recipe

RECIPE = RECIPES / "tiny.yaml"
PUBLISHED = (
    *OPEN,
    "reward.optim.epochs=6",
    "constitution.sl_start=base",
    "constitution.rl_start=constitutional",
    "constitution.optim.lr=1e-5",
    "constitution.snapshots={}",
    "policy={steps: 1, max_new_tokens: 8, ptx_coef: 0, optim: {lr: 1e-4, batch_size: 8}}",
)
STAGES = (
    *("data", "sft", "revise", "constitutional", "feedback", "reward", "reward_second", "policy"),
    *("answers_base", "answers_sft", "answers_policy", "answers_constitutional"),
    *("snapshot_base", "snapshot_sft", "snapshot_constitutional", "snapshot_policy", "snapshots"),
)
ALWAYS_A = "constitution.roles.labeller=tiny:1"
"""A random model: it names a place, whatever is there."""


@pytest.fixture(scope="module")
def walked(taught, tmp_path_factory):
    """`walk` goes the road in one folder, where what roads share is made once; and a first walk."""
    out = tmp_path_factory.mktemp("published") / "run"

    def walk(*changes):
        return *journey(RECIPE, [*taught, *PUBLISHED, *changes], out), out

    return walk, walk()


def test_every_stage_is_made_and_the_pretrained_model_learns_from_the_revisions(walked):
    summary, heard, _ = walked[1]
    assert tuple(heard.made) == STAGES
    assert "start" not in stage_of(summary, "constitutional")["inputs"]
    assert stage_of(summary, "constitutional")["settings"]["start"].startswith("path:")
    tuned = stage_of(summary, "constitutional")["id"]
    assert {stage_of(summary, name)["inputs"]["start"] for name in ("feedback", "policy")} == {tuned}
    assert stage_of(summary, "policy")["settings"]["red_team"] == 0.3
    assert summary["constitution"]["outcome"] == {
        "labels": "model",
        "shut": [],
        "gates": [{"labeller": f"self constitutional:{tuned}", **summary["constitution"]["gate"]}],
        "sl_start": "base",
        "rl_start": "constitutional",
        "warnings": [],
        "told": summary["constitution"]["outcome"]["told"],
    }


def test_every_snapshot_is_measured_and_told_in_the_report(walked):
    summary, _, out = walked[1]
    found = summary["snapshots"]
    assert found["order"] == ["base", "sft", "constitutional", "policy"]
    assert found["titles"]["policy"] == "RL-CAI"
    assert found["judge"]["name"] == "the second reward model"
    assert found["judge"]["known"]["accuracy"]["n"] > 0
    assert found["prompts"]["harmful"] >= 100
    for name in found["order"]:
        own = found["models"][name]
        assert {"harmless", "helpful", "over_refusal", "bare", "evasive", "boilerplate"} <= set(own)
        assert own["harmless"]["low"] <= own["harmless"]["value"] <= own["harmless"]["high"]
    assert found["models"]["sft"]["harmless_judged"]["value"] == 0.5
    compared = {(row["of"], row["over"]) for row in found["differences"]}
    assert compared == {("sft", "base"), ("constitutional", "sft"), ("policy", "constitutional")}
    page = Page((out / "report.html").read_text("utf-8"))
    assert page.sections()[:3] == ["bread", "verdict", "snapshots"]
    header, *rows = page.tables["every snapshots"]
    assert header == ["Metric", "Base", "Helpful", "SL-CAI", "RL-CAI"]
    assert rows[0][0] == "Harmless"
    assert {row["model"] for row in read_lines(out / "snapshots.jsonl")} == set(found["order"])
    assert all(set(one["answers"]) == set(found["order"]) for one in found["read"])
    assert found["read"][0]["prompt"] in page.text
    told = [
        attributes["aria-label"] for tag, attributes in page.tags if tag == "svg" and "role" in attributes
    ]
    assert any(text.startswith("Base: helpful") and "RL-CAI: helpful" in text for text in told)


@pytest.mark.mistake("shut-gate-in-silence")
def test_a_labeller_of_places_is_gone_on_without_and_everything_says_so(walked):
    summary, heard, out = walked[0](ALWAYS_A)
    assert heard.made[0] == "feedback"
    found = summary["constitution"]["outcome"]
    assert (found["labels"], found["shut"]) == (None, ["teacher tiny:1"])
    (told,) = found["warnings"]
    assert "when_shut says (helpful_only)" in told
    assert told in heard.warnings
    assert told in summary["warnings"]
    assert summary["snapshots"]["titles"]["policy"] == "RL, no AI labels"
    page = Page((out / "report.html").read_text("utf-8")).text
    assert told[1:] in page
    assert summary["preferences"]["sources"] == {"constructed": summary["reward"]["train_rows"]}


@pytest.mark.mistake("shut-gate-in-silence")
def test_told_to_stop_it_stops_with_the_figure_and_what_else_there_is(walked):
    with pytest.raises(ModelError, match=r"labels nothing.*when_shut is stop: helpful_only goes on"):
        walked[0](ALWAYS_A, "constitution.feedback.when_shut=stop")


def test_a_judge_trained_on_the_given_comparisons_labels_where_the_recipe_says_so(walked):
    more = (ALWAYS_A, "constitution.feedback.when_shut=trained_judge", "reward.without=[harmful]")
    with pytest.raises(DataError, match="takes out every comparison"):  # all given ones are on harm
        walked[0](ALWAYS_A, "reward.without=[harmful]")
    summary, heard, out = walked[0](*more)
    assert [name for name in heard.made if "judge" in name] == ["judge", "feedback_judge"]
    found = summary["constitution"]["outcome"]
    assert (found["labels"], found["shut"]) == ("trained_judge", ["teacher tiny:1"])
    assert "a judge trained on the given comparisons labelled in its place" in found["warnings"][0]
    assert summary["constitution"]["labeller"].startswith("trained judge:")
    first, last = found["gates"]
    assert (first["labeller"], first["passed"], last["passed"]) == ("teacher tiny:1", False, True)
    assert first["message"] in Page((out / "report.html").read_text("utf-8")).text
    assert summary["constitution"]["gate"]["accuracy"]["n"] <= 15  # held-out pairs: from the others it learnt
    assert summary["constitution"]["ai_comparisons"] > 0
    assert summary["preferences"]["sources"] == {"ai": summary["constitution"]["ai_comparisons"]}
    assert set(summary["reward"]["sources"]) == {"ai"}
    judged = [
        (row["preference"], row["first"][0])
        for row in read_lines(out / "labels.jsonl")
        if {row["first"][0], row["second"][0]} == {GOOD, BAD}
    ]
    assert judged
    assert all((preference > 0.5) == (first == GOOD) for preference, first in judged)


def test_labellers_are_compared_on_one_road_that_shares_what_it_can(taught, walked):
    out, heard = walked[1][2], Heard()
    names = ["truth:0", "truth:1", "trained_judge"]
    rows = sweep(load_recipe(RECIPE, [*taught, *PUBLISHED]), names, out, heard)
    assert not {"sft", "revise", "constitutional", "snapshot_sft"} & set(heard.made)
    assert heard.made.count("feedback") == 2
    assert [row["labeller"] for row in rows] == names
    assert [row["accuracy"]["value"] for row in rows[:2]] == [1.0, 0.0]
    assert [row["passed"] for row in rows[:2]] == [True, False]
    assert rows[0]["labels"] > rows[1]["labels"] == 0
    assert rows[0]["model"] == "RL-CAI, planted labels"
    assert rows[2]["model"] == "RL-CAI, trained judge"
    assert all({"harmless", "helpful", "over_refusal"} <= set(row["figures"]) for row in rows)
    assert json.loads((out / "labellers.json").read_text()) == rows
    summary = json.loads((out / "labellers" / "truth-0.json").read_text())
    assert summary["preferences"]["sources"]["planted"] == rows[0]["labels"]
    assert (out / "labellers" / "trained_judge.html").exists()


def test_a_sweep_needs_a_constitution_and_each_labeller_once(taught, tmp_path):
    with pytest.raises(ConfigError, match="named twice"):
        sweep(load_recipe(RECIPE, taught), ["self", "self"], tmp_path, Heard())
    with pytest.raises(ConfigError, match="nothing in it labels"):
        sweep(load_recipe(RECIPE, [*taught, "constitution=null"]), ["self"], tmp_path, Heard())
    alone = [*taught, "policy={rewards: [constitution]}", "reward=null"]
    with pytest.raises(ConfigError, match="leave nothing that pays: leave `reward` in"):
        sweep(load_recipe(RECIPE, alone), ["self"], tmp_path, Heard())
