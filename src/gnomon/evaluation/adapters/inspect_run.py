"""A task of inspect_ai asked of a model, and its log. Needs the extra `inspect`."""

import glob
import os
from pathlib import Path
from typing import Any

import inspect_ai
from inspect_ai.model import get_model

from gnomon.errors import ConfigError, DataError
from gnomon.evaluation.adapters import inspect_registry
from gnomon.evaluation.adapters.inspect_model import TOGETHER

PROVIDER = inspect_registry.gnomon.__name__


def run(ref: str, task: str, out: Path, *, limit: int | None, max_new_tokens: int | None) -> dict[str, Any]:
    """The metrics of each of a task's scorers, by task; `task` is `FILE.py` or `FILE.py@NAME`, the logs go to
    `out`.

    ConfigError where there is no such file, DataError where the task ends in an error.
    """
    file, _, name = task.partition("@")
    if not Path(file).is_file():
        raise ConfigError(f"there is no file {file}; name one with tasks of inspect_ai")
    logs = inspect_ai.eval(
        task if name else glob.escape(os.path.relpath(file)),  # where no name is given it wants a pattern
        model=get_model(f"{PROVIDER}/{ref}", memoize=False),
        limit=limit,
        log_dir=str(out),
        display="plain",
        max_connections=TOGETHER,
        max_tokens=max_new_tokens,
    )
    if not logs:
        raise ConfigError(f"{file} has no task; mark one with inspect_ai's @task")
    return dict(_told(log) for log in logs)


def _told(log: Any) -> tuple[str, dict[str, Any]]:
    if log.status != "success":
        why = log.error.message if log.error else log.status
        raise DataError(f"task {log.eval.task} ended before it was done: {why}; see {log.location}")
    scores = {
        score.name: {name: metric.value for name, metric in score.metrics.items()}
        for score in log.results.scores
    }
    return str(log.eval.task), {
        "samples": log.results.completed_samples,
        "scores": scores,
        "log": str(log.location),
    }
