import json
import shutil

import numpy as np
import pytest
from small import SMALL

from gnomon.errors import ConfigError
from gnomon.overopt.settings import LaboratorySettings
from gnomon.pipeline import overopt as stages
from gnomon.pipeline.overopt_run import overopt
from gnomon.pipeline.reporter import SilentReporter
from gnomon.recipe import load_settings
from gnomon.runs import read_json, read_metrics


def settings(*more):
    return load_settings(LaboratorySettings, None, [*SMALL, *more])


class Told(SilentReporter):
    """Remembers which stages were made."""

    def __init__(self):
        self.made = []

    def stage_finished(self, name, seconds):
        self.made.append(name)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out, told = tmp_path_factory.mktemp("study"), Told()
    return out, overopt(settings(), out, told), told.made


def rows_of(out):
    return [json.loads(line) for line in (out / "rows.jsonl").read_text("utf-8").splitlines()]


def test_every_stage_is_made_once(study):
    _, _, made = study
    assert len(made) == len(set(made)) == 11
    assert made[:4] == ["start", "labels-0", "second-0", "crowd-32-0"]
    assert made[-2:] == ["ensemble-0", "climb-ensemble-guarded-0"]


def test_every_climb_begins_at_the_start(study):
    out, summary, _ = study
    first = [row for row in rows_of(out) if row["step"] == (1 if row["method"] == "best_of_n" else 0)]
    assert len(first) == len(summary["climbs"]) == 5
    assert {row["gained"] for row in first} == {0.0}
    assert max(row["distance"] for row in first) == pytest.approx(0, abs=0.02)


def test_points_are_measured_as_planned_and_logged(study):
    out, _, _ = study
    steps = [
        row["step"] for row in rows_of(out) if (row["method"], row["proxy"]) == ("rl", "exact-16-layers-1")
    ]
    assert steps == [0, 2, 4]
    logged = read_metrics(out / "metrics" / "climb-crowd-32-free-0.jsonl")
    assert [row["step"] for row in logged if "eval/reward/gold" in row] == [0, 2, 4]


def test_best_of_n_has_every_power_of_two_up_to_half(study):
    steps = [row["step"] for row in rows_of(study[0]) if row["method"] == "best_of_n"]
    assert steps == [1, 2, 4, 1, 2, 4]


def test_the_summary_is_the_file_and_the_page_is_there(study):
    out, summary, _ = study
    assert read_json(out / "summary.json") == json.loads(json.dumps(summary))
    assert "planted worth" in (out / "report.html").read_text("utf-8")
    assert read_json(out / "manifest.json")["artefacts"]


def test_the_same_command_makes_nothing_again(study):
    out, summary, _ = study
    told = Told()
    again = overopt(settings(), out, told)
    assert told.made == []
    assert again["climbs"] == summary["climbs"]


def test_another_budget_climbs_again_and_learns_nothing_again(study, tmp_path):
    out, told = shutil.copytree(study[0], tmp_path / "study"), Told()
    overopt(settings("guarded.kl_budget=0.5"), out, told)
    assert told.made == ["climb-ensemble-guarded-0"]


@pytest.mark.parametrize(
    ("change", "made"),
    [
        ("measure.resamples=60", []),
        ("policy.optim.checkpoint_every=3", []),
        ("reward.optim.checkpoint_every=3", []),
        ("start.optim.checkpoint_every=3", []),
        ("measure.best_of=16", ["labels-0", "best-of-n-crowd-32-0", "best-of-n-exact-16-layers-1-0"]),
    ],
)
def test_what_a_setting_does_not_change_is_not_made_again(change, made, study, tmp_path):
    out, told = shutil.copytree(study[0], tmp_path / "study"), Told()
    overopt(settings(change), out, told)
    assert told.made == made


def test_a_climb_that_was_interrupted_goes_on_to_the_same_points(study, tmp_path, monkeypatch):
    """Stopped at its second measurement, after step 2; a checkpoint was made after step 1."""
    before = rows_of(study[0])
    measured = stages.point
    calls = []

    def failing(*given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measured(*given)

    monkeypatch.setattr(stages, "point", failing)
    with pytest.raises(KeyboardInterrupt):
        overopt(settings(), tmp_path, SilentReporter())
    monkeypatch.setattr(stages, "point", measured)
    overopt(settings(), tmp_path, SilentReporter())
    assert rows_of(tmp_path) == before


def test_exact_labels_are_the_gold_s_and_the_crowd_s_are_not(study):
    out, _, _ = study
    (labels,) = out.glob("artefacts/*/crowd.jsonl")
    rows = [json.loads(line) for line in labels.read_text("utf-8").splitlines()]
    said = np.array([row["said"] for row in rows])
    assert set(said[:, 0]) == {-1.0, 1.0}
    assert (said[:, 0] != said[:, 1]).any()
    assert len(rows) == 32


def test_too_few_prompts_are_refused(tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"id": "a", "prompt": "Why?"}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="prompt_count is 8, and there are 1"):
        overopt(settings(f"prompts=[{file}]"), tmp_path / "out", SilentReporter())
