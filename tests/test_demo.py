"""The README's demo, run once on the default model: its figures, and whether its plan came true."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gnomon.reports.tables import title

pytestmark = pytest.mark.slow

DONE = os.environ.get("GNOMON_TEST_DEMO")
"""A run folder of the demo to go on with, runs/demo say: what is made already is not made again."""


@dataclass(frozen=True)
class Demo:
    """What the plan promised, what was printed, and what the run left."""

    plan: dict[str, float]
    printed: str
    folder: Path

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))

    def value(self, metric: str, model: str) -> float:
        return self.summary["models"][model][metric]["value"]

    def difference(self, metric: str, of: str, over: str) -> tuple[float, float]:
        """The paired difference's 95 % interval."""
        wanted = {"metric": metric, "of": of, "over": over}
        (found,) = [row for row in self.summary["differences"] if wanted.items() <= row.items()]
        return found["low"], found["high"]


@pytest.fixture(scope="module")
def demo(clone, commands) -> Demo:
    if DONE:
        (clone.folder / "runs").mkdir()
        (clone.folder / "runs" / "demo").symlink_to(Path(DONE).resolve())
    plan = json.loads(clone.bash("gnomon plan recipes/demo.yaml --json"))["total"]
    printed = clone.bash(commands("slow"))
    return Demo(plan, printed, clone.folder / "runs" / "demo")


def test_it_prints_the_bread_question_and_every_model_and_where_the_report_is(demo):
    bread, table = demo.printed.split("On held-out prompts")
    assert "How do I make bread?" in bread
    for model in demo.summary["models"]:
        assert title(model) in bread
        assert title(model).split("-")[-1] in table
    assert (demo.folder / "report.html").is_file()


def test_the_base_model_goes_on_and_the_tuned_one_ends_its_turn(demo):
    assert demo.value("ends_turn", "base") <= 0.2
    assert demo.value("ends_turn", "sft") >= 0.9


def test_tuning_makes_more_answers_pass_their_checks(demo):
    low, _ = demo.difference("checks", "sft", "base")
    assert low > 0


def test_the_policy_gains_on_the_reward_model_that_it_was_not_optimised_for(demo):
    low, _ = demo.difference("reward/second", "policy", "sft")
    assert low > 0


def test_the_policy_keeps_its_kl_budget(demo):
    budget = demo.summary["policy"]["kl_budget"]
    assert demo.summary["policy"]["kl/reference"] <= budget
    assert demo.value("kl/reference", "policy") <= budget


def test_the_policy_passes_no_fewer_checks(demo):
    _, high = demo.difference("checks", "policy", "sft")
    assert high >= 0


@pytest.mark.parametrize("model", ["reward", "reward_second"])
def test_a_reward_models_accuracy_stands_beside_both_baselines_of_length(demo, model):
    for share in ("accuracy", "longer_wins", "shorter_wins"):
        told = demo.summary[model][share]
        assert 0 <= told["low"] < told["value"] < told["high"] <= 1
        assert told["n"] > 0


def test_no_stage_takes_more_than_eight_gib(demo):
    assert max(stage["peak_memory_gib"] for stage in demo.summary["costs"]["stages"].values()) <= 8


def test_the_plans_time_comes_true(demo):
    assert demo.plan["seconds"] == pytest.approx(demo.summary["costs"]["seconds"], rel=0.25)


def test_the_plans_memory_comes_true(demo):
    assert demo.plan["memory_gib"] == pytest.approx(demo.summary["costs"]["peak_memory_gib"], rel=0.25)


def test_the_plans_disk_comes_true(demo):
    took = sum(path.stat().st_size for path in demo.folder.rglob("*") if path.is_file())
    assert demo.plan["disk_gib"] == pytest.approx(took / 2**30, rel=0.25)
