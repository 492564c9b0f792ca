"""The whole road on the tiny model, undisturbed and killed in every stage."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from heard import journey
from pages import Page
from safetensors.torch import load_file
from torch.testing import assert_close

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "tiny.yaml"
SMALL = (
    "data.limit=26",
    "policy.steps=3",
    "policy.liti=0.8",
    "evaluation.bootstrap=200",
    "constitution.gate_comparisons=8",
)
STAGES = (
    "data",
    "sft",
    "revise",
    "feedback",
    "reward",
    "reward_second",
    "policy",
    "answers_base",
    "answers_sft",
    "answers_policy",
)


def artefacts(out):
    return {folder.name for folder in (out / "artefacts").iterdir()}


def figures(summary):
    return {key: value for key, value in summary.items() if key != "costs"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("road") / "run"
    _, heard = journey(RECIPE, SMALL, out)
    return out, heard, json.loads((out / "summary.json").read_text())


def test_every_stage_is_made_in_order(undisturbed):
    _, heard, _ = undisturbed
    assert tuple(heard.made) == STAGES


def test_the_contracts_are_written(undisturbed):
    out, *_ = undisturbed
    names = (
        "summary.json",
        "manifest.json",
        "report.html",
        "answers.jsonl",
        "critiques.jsonl",
        "config.yaml",
    )
    assert all((out / name).stat().st_size > 0 for name in names)
    summary = json.loads((out / "summary.json").read_text())
    assert set(summary["models"]) == {"base", "sft", "policy"}
    learnt = {"constructed": summary["reward"]["train_rows"]}
    assert summary["preferences"] == {"sources": learnt, "optimised": True}
    assert summary["policy"]["kl/reference"] < summary["policy"]["kl_budget"]
    assert summary["constitution"]["gate"]["passed"] is False
    assert {row["of"] for row in summary["differences"]} == {"sft", "policy"}
    assert "RLHF" not in (out / "report.html").read_text()


def test_the_manifest_leads_from_every_model_to_the_rows(undisturbed):
    out, *_ = undisturbed
    made = json.loads((out / "manifest.json").read_text())["artefacts"]
    stages = {about["stage"]: about for about in made.values()}
    assert set(stages) == set(STAGES)
    assert all(parent in made for about in made.values() for parent in about["inputs"].values())
    assert stages["policy"]["inputs"].keys() == {"data", "reward", "second", "start"}


def test_a_second_run_makes_nothing_and_changes_nothing(undisturbed):
    out, *_ = undisturbed
    before = json.loads((out / "summary.json").read_text())
    _, heard = journey(RECIPE, SMALL, out)
    assert heard.made == []
    assert tuple(heard.cached) == STAGES
    assert json.loads((out / "summary.json").read_text()) == before


@pytest.fixture
def copied(undisturbed, tmp_path):
    """The folder of the undisturbed run, to go on in without changing it for others."""
    return shutil.copytree(undisturbed[0], tmp_path / "copied", symlinks=True)


def test_another_setting_makes_only_what_depends_on_it(copied):
    _, heard = journey(RECIPE, [*SMALL, "policy.beta=0.2"], copied)
    assert heard.made == ["policy", "answers_policy"]
    assert (copied / "config.1.yaml").exists()
    counts = json.loads((copied / "manifest.json").read_text())["test_openings"]
    once = dict.fromkeys(("answers_base", "answers_sft", "reward", "reward_second"), 1)
    assert counts == once | {"answers_policy": 2, "report": 2}
    warned = json.loads((copied / "summary.json").read_text())["warnings"]
    assert any("answers_policy 2 times, report 2 times" in said for said in warned)


def test_what_an_earlier_run_left_of_other_stages_is_taken_away(copied):
    summary, _ = journey(RECIPE, [*SMALL, "constitution=null", "policy=null"], copied)
    trained = {"sft", "reward", "reward_second"}
    assert {log.stem for log in copied.glob("metrics/*")} == trained
    assert {path.name for path in copied.glob("models/*")} == trained
    assert not {"critiques.jsonl", "labels.jsonl", "audit.json"} & {path.name for path in copied.iterdir()}
    page = Page((copied / "report.html").read_text("utf-8"))
    assert not {"policy", "constitution"} & set(page.sections())
    assert "Whose preferences. A reward model learnt from comparisons, and nothing was optimised" in page.text
    assert "This is preference optimisation" not in page.text
    assert summary["preferences"]["optimised"] is False


def test_where_nothing_learnt_from_comparisons_nothing_is_called_by_them(copied):
    summary, _ = journey(RECIPE, SMALL, copied, until="sft")
    assert summary["preferences"] == {"sources": {}, "optimised": False}
    assert "Whose preferences" not in (copied / "report.html").read_text("utf-8")


def test_models_stand_under_the_names_of_their_stages(undisturbed, tmp_path):
    out = undisturbed[0]
    manifest = json.loads((out / "manifest.json").read_text())
    made = {about["stage"]: key for key, about in manifest["artefacts"].items()}
    moved = shutil.copytree(out, tmp_path / "moved", symlinks=True)
    assert {path.name for path in moved.glob("models/*")} == {"sft", "reward", "reward_second", "policy"}
    for link in moved.glob("models/*"):
        assert link.resolve() == moved / "artefacts" / made[link.name] / "model"


def test_what_is_somebody_s_own_is_left_where_a_name_would_be(copied, tmp_path):
    names = copied / "models"
    (names / "policy").unlink()
    (names / "policy").mkdir()
    (names / "other").symlink_to(tmp_path)
    model = (names / "reward").resolve()
    _, heard = journey(RECIPE, SMALL, copied)
    (told,) = [text for text in heard.warnings if str(names) in text]
    assert told.startswith(f"{names / 'policy'}: File exists; the model is {copied / 'artefacts'}")
    assert not (names / "policy").is_symlink()
    assert (names / "other").resolve() == tmp_path
    assert (names / "reward").resolve() == model


def test_the_policy_is_taken_back_to_the_share_of_its_way_that_liti_names(copied):
    ends = {}
    for liti in ("1", "0.25"):
        journey(RECIPE, [*SMALL, f"policy.liti={liti}"], copied, until="policy")
        artefacts = json.loads((copied / "manifest.json").read_text())["artefacts"]
        made = {about["stage"]: key for key, about in artefacts.items()}
        start, ends[liti] = (
            load_file(copied / "artefacts" / made[stage] / "model" / "adapter_model.safetensors")
            for stage in ("sft", "policy")
        )
    for name, end in ends["1"].items():
        assert_close(ends["0.25"][name], start[name] + 0.25 * (end - start[name]))


def test_how_often_held_out_rows_are_measured_makes_nothing_again(copied):
    _, heard = journey(RECIPE, [*SMALL, "sft.evaluate_every=2"], copied, until="sft")
    assert heard.made == []


def test_killed_in_every_stage_it_ends_like_an_undisturbed_run(undisturbed, tmp_path):
    out = tmp_path / "killed"
    gnomon = Path(sys.executable).parent / "gnomon"
    command = [str(gnomon), "run", str(RECIPE), *SMALL, "--out", str(out)]
    killed, took = [], undisturbed[2]["costs"]["stages"]
    for stage in STAGES:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        assert process.stderr is not None
        for line in process.stderr:
            if f" {stage}: started" in line:
                time.sleep(took[stage]["seconds"] / 2)  # somewhere inside it, however fast the machine
                process.send_signal(signal.SIGKILL)
                killed.append(stage)
                break
        process.wait()
        process.stderr.close()
    assert len(killed) >= len(STAGES) - 2  # the shortest may be over before the signal
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    expected = undisturbed[2]
    found = json.loads((out / "summary.json").read_text())
    assert figures(found) == figures(expected)


def near(found, expected, where="summary"):
    """Equal, numbers up to 1e-4."""
    assert type(found) is type(expected), where
    if isinstance(found, dict):
        assert found.keys() == expected.keys(), where
        for key, value in found.items():
            near(value, expected[key], f"{where}.{key}")
    elif isinstance(found, list):
        assert len(found) == len(expected), where
        for i, value in enumerate(found):
            near(value, expected[i], f"{where}.{i}")
    elif isinstance(found, float):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4), where
    else:
        assert found == expected, where


@pytest.mark.parametrize(
    "more", [(), pytest.param(("model.sharding=layers",), marks=pytest.mark.slow)], ids=["whole", "sharded"]
)
def test_two_processes_walk_it_as_one(more, undisturbed, tmp_path):
    """Under torchrun: one summary, said once, with the figures of one process."""
    out = tmp_path / "two"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "gnomon", "run", str(RECIPE), *SMALL, *more, "--out", str(out), "--json"]
    around = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=around, timeout=170)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(" sft: started") == 1
    said = json.loads(done.stdout)
    found = json.loads((out / "summary.json").read_text())
    assert {key: value for key, value in said.items() if key != "manifest"} == found
    alone = json.loads(json.dumps(undisturbed[2]))
    assert bool(more) == (found["run"].pop("settings") != alone["run"].pop("settings"))
    near(figures(found), figures(alone))
    assert artefacts(out) == artefacts(undisturbed[0])
    assert not list((out / "artefacts" / ".work").iterdir())
