"""The constitutional road with an open gate: a small model that has learnt to criticise, revise and judge.

The model is random but for what it was taught here, by heart: two answers to every prompt, a critique, a
revision, and which of the two answers is the better, in either place. The road then measures it, lets it
label and learns from its revisions as it would with any model.
"""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from heard import RECIPES, journey
from taught import BAD, GOOD, REVISION

from gnomon.pipeline.constitutional import ENOUGH, kept_revisions
from gnomon.pipeline.rows import read_lines, write_records
from gnomon.pipeline.stage import Artefact
from gnomon.records import Conversation, Critique

RECIPE = RECIPES / "tiny.yaml"
STAGES = (
    "data",
    "sft",
    "revise",
    "constitutional",
    "feedback",
    "reward",
    "reward_second",
    "answers_base",
    "answers_sft",
    "answers_constitutional",
)


@pytest.fixture(scope="module")
def undisturbed(taught, tmp_path_factory):
    out = tmp_path_factory.mktemp("road") / "run"
    _, heard = journey(RECIPE, taught, out)
    return out, heard, json.loads((out / "summary.json").read_text())


def made(out, stage):
    """The folder of what a stage made."""
    artefacts = json.loads((out / "manifest.json").read_text())["artefacts"]
    (found,) = [name for name, about in artefacts.items() if about["stage"] == stage]
    return out / "artefacts" / found


def test_a_revision_is_the_only_lesson_of_a_dialogue(tmp_path):
    asked = Conversation.of("How?", "Like this.", "And then?")
    said = Critique("r/1", asked, "Like that.", "kind", "It harms.", "I won't say.", "0" * 16)
    write_records(tmp_path / "critiques.jsonl", [said])
    (row,) = kept_revisions(Artefact("x", "revise", tmp_path))
    assert [turn.content for turn in row.conversation.messages if turn.carries_loss] == ["I won't say."]
    assert [turn.content for turn in row.prompt.messages] == ["How?", "Like this.", "And then?"]


def test_every_stage_is_made_in_order(undisturbed):
    out, heard, summary = undisturbed
    assert tuple(heard.made) == STAGES
    assert set(summary["models"]) == {"base", "sft", "constitutional"}
    assert {row["model"] for row in read_lines(out / "answers.jsonl")} == {"base", "sft", "constitutional"}


def test_the_gate_of_the_default_recipe_lets_a_good_judge_in(undisturbed):
    gate = undisturbed[2]["constitution"]["gate"]
    assert gate["passed"]
    assert (gate["required"], gate["lower_required"], gate["flips_allowed"]) == (0.6, 0.5, 0.4)
    assert gate["accuracy"]["value"] > 0.9
    assert gate["flip_rate"] < 0.1


def test_its_revisions_are_learnt_from(undisturbed):
    out, _, summary = undisturbed
    kept = [row for row in read_lines(out / "critiques.jsonl") if not row.get("rejected_for")]
    assert len(kept) == summary["constitution"]["kept"] >= ENOUGH
    assert Counter(row["revision"] for row in kept).most_common(1)[0][0] == REVISION
    report = json.loads((made(out, "constitutional") / "report.json").read_text())
    assert report["rows"] == len(kept) + 12


def test_ai_comparisons_reach_the_reward_model(undisturbed):
    out, _, summary = undisturbed
    labelled = read_lines(made(out, "feedback") / "comparisons.jsonl")
    assert 0 < len(labelled) == summary["constitution"]["ai_comparisons"]
    assert {row["label"]["source"] for row in labelled} == {"ai"}
    assert {row["label"]["reason"] for row in labelled} == {"leave-it"}
    own = len(read_lines(made(out, "data") / "reward.jsonl"))
    assert summary["preferences"]["sources"] == {"constructed": own, "ai": len(labelled)}
    assert summary["reward"]["train_rows"] == own + len(labelled)
    artefacts = json.loads((out / "manifest.json").read_text())["artefacts"]
    assert artefacts[made(out, "reward").name]["inputs"]["extra"] == made(out, "feedback").name
    assert "extra" not in artefacts[made(out, "reward_second").name]["inputs"]


def test_its_labels_prefer_the_better_answer(undisturbed):
    judged = [
        (row["label"]["preference"], said)
        for row in read_lines(made(undisturbed[0], "feedback") / "comparisons.jsonl")
        if set(said := (row["first"][0]["content"], row["second"][0]["content"])) == {GOOD, BAD}
    ]
    assert len(judged) >= 3
    assert all((preference > 0.5) == (first == GOOD) for preference, (first, _) in judged)


def test_another_gate_that_lets_the_same_labels_in_trains_nothing_again(taught, undisturbed, tmp_path):
    out = shutil.copytree(undisturbed[0], tmp_path / "run")
    before = made(out, "feedback").name
    _, heard = journey(RECIPE, [*taught, "constitution.gate_lower=0.45"], out)
    assert heard.made == ["feedback"]
    artefacts = json.loads((out / "manifest.json").read_text())["artefacts"]
    assert artefacts[made(out, "reward").name]["inputs"]["extra"] == made(out, "feedback").name != before


def killed(command, reached):
    """Start the command and kill it as soon as it has reached something."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not reached():
        time.sleep(0.01)
    process.kill()
    return process.wait()


def test_killed_with_an_open_gate_it_ends_like_an_undisturbed_run(taught, undisturbed, tmp_path):
    out = tmp_path / "killed"
    gnomon = Path(sys.executable).parent / "gnomon"
    command = [str(gnomon), "run", str(RECIPE), *taught, "--out", str(out)]
    for stage, trace in (("constitutional", "work/checkpoint-*"), ("feedback", "work")):
        name = made(undisturbed[0], stage).name
        partial = out / "artefacts" / ".work" / f"{name}.partial"
        assert killed(command, lambda found=partial, trace=trace: any(found.glob(trace))) == -9
        assert partial.exists()
        assert not (out / "artefacts" / name).exists()
    journey(RECIPE, taught, out)
    expected, found = undisturbed[2], json.loads((out / "summary.json").read_text())
    assert {**found, "costs": None} == {**expected, "costs": None}
