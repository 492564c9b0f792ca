"""The held-out loss while instruction tuning goes on."""

from pathlib import Path

import pytest

from gnomon.pipeline.alone import train
from gnomon.pipeline.reporter import SilentReporter
from gnomon.recipe import load_recipe
from gnomon.runs import read_json, read_metrics

RECIPE = Path(__file__).parents[2] / "recipes" / "tiny.yaml"


def logged(out, *overrides):
    recipe = load_recipe(RECIPE, ["data.limit=40", "sft.optim.epochs=1", *overrides])
    train("sft", recipe, out, SilentReporter())
    return read_metrics(out / "metrics" / "sft.jsonl"), read_json(out / "report.json")


def test_it_is_logged_as_often_as_asked_and_ends_at_what_is_reported(tmp_path):
    rows, report = logged(tmp_path, "sft.evaluate_every=3")
    losses = {row["step"]: row["eval/loss"] for row in rows if "eval/loss" in row}
    last = report["steps"]
    assert 3 < last < 6  # not a third step: it is logged for being the last
    assert list(losses) == [3, last]
    assert losses[last] == pytest.approx(report["loss/dev"], rel=1e-9)
    assert losses[last] < losses[3] < report["loss/dev_before"]


def test_it_is_not_logged_unless_asked(tmp_path):
    rows, report = logged(tmp_path)
    assert all("eval/loss" not in row for row in rows)
    assert report["loss/dev"] < report["loss/dev_before"]
