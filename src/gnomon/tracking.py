"""Boards where people watch runs: they are handed what a metrics log is, and nothing depends on them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from gnomon.errors import ConfigError

FOLDER = "tensorboard"
"""Where in a run folder TensorBoard's files lie."""


class Tracker(Protocol):
    """One stage's place on a board."""

    def log(self, values: dict[str, Any], step: int | None = None) -> None:
        """Show a step's values."""

    def finish(self) -> None:
        """Nothing more comes."""


def check(names: Sequence[str]) -> None:
    """ConfigError where a board's package is not installed."""
    if not names:
        return
    from accelerate.tracking import get_available_trackers  # noqa: PLC0415  seconds, for those who ask

    for name in names:
        if name not in map(str, get_available_trackers()):
            raise ConfigError(
                f"trackers: {name} is not installed; run `pip install {name}`, or leave it out of trackers"
            )


def start(names: Sequence[str], folder: Path, stage: str) -> list[Tracker]:
    """The boards by their names; the run is known there by the name of its folder."""
    check(names)
    trackers = [_made(name, folder, stage) for name in names]
    for tracker in trackers:
        tracker.start()
    return trackers


def _made(name: str, folder: Path, stage: str) -> Any:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS  # noqa: PLC0415

    kind, project = LOGGER_TYPE_TO_CLASS[name], folder.resolve().name
    arguments: Mapping[str, dict[str, Any]] = {
        "tensorboard": {"run_name": stage, "logging_dir": folder / FOLDER},
        "wandb": {"run_name": project, "name": stage, "dir": folder},
        "mlflow": {"experiment_name": project, "run_name": stage},
    }
    return kind(**arguments[name])
