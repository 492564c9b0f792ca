"""Metrics on boards; TensorBoard's own reader tells what is there, where it is installed."""

import pytest

from gnomon import tracking
from gnomon.errors import ConfigError
from gnomon.recipe import load_recipe
from gnomon.runs import MetricsLog, RunFolder, read_metrics


class Board:
    """Remembers what it was shown."""

    def __init__(self):
        self.shown, self.done = [], False

    def log(self, values, step=None):
        self.shown.append((step, values))

    def finish(self):
        self.done = True


def test_a_tracker_is_shown_what_is_written(tmp_path):
    board = Board()
    log = MetricsLog(tmp_path / "sft.jsonl", trackers=[board])
    log.append(1, {"loss": 2.5, "note": "a"})
    log.append(2, {"loss": 2.0})
    assert [{"step": step, **values} for step, values in board.shown] == read_metrics(log.path)
    assert not board.done
    log.close()
    assert board.done


def test_what_is_refused_is_shown_nowhere(tmp_path):
    board = Board()
    with pytest.raises(Exception, match="loss is nan"):
        MetricsLog(tmp_path / "sft.jsonl", trackers=[board]).append(1, {"loss": float("nan")})
    assert board.shown == []


def test_tensorboard_has_the_values_of_the_file(tmp_path):
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415

    run = RunFolder(tmp_path / "run", trackers=("tensorboard",))
    with run.open():
        log = run.log("sft", tmp_path / "log.jsonl")
        for step, loss in ((1, 2.5), (2, 2.25)):
            log.append(step, {"loss": loss, "reward/mean": -loss})
        log.close()
    board = EventAccumulator(str(run.path / tracking.FOLDER / "sft")).Reload()
    assert board.Tags()["scalars"] == ["loss", "reward/mean"]
    assert [(event.step, event.value) for event in board.Scalars("loss")] == [(1, 2.5), (2, 2.25)]
    assert [event.value for event in board.Scalars("reward/mean")] == [-2.5, -2.25]
    assert read_metrics(run.metrics("sft"))[1] == {"step": 2, "loss": 2.25, "reward/mean": -2.25}


def test_what_is_not_installed_is_told_before_the_run_begins(tmp_path, monkeypatch):
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", list)
    run = RunFolder(tmp_path / "run", trackers=("wandb",))
    with (
        pytest.raises(ConfigError, match=r"trackers: wandb is not installed; run `pip install wandb`"),
        run.open(),
    ):
        pass
    assert not run.path.exists()


def test_without_trackers_nothing_of_them_is_touched(tmp_path):
    log = RunFolder(tmp_path).log("sft", tmp_path / "log.jsonl")
    assert log.trackers == []
    log.append(1, {"loss": 1.0})
    assert not (tmp_path / tracking.FOLDER).exists()


def test_they_are_a_setting():
    assert load_recipe(overrides=["trackers=[tensorboard]"]).trackers == ("tensorboard",)
    with pytest.raises(ConfigError, match="trackers"):
        load_recipe(overrides=["trackers=[paper]"])
