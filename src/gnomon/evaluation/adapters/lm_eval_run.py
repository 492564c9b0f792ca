"""Tasks of lm-evaluation-harness asked of a model, and what comes of it. Needs the extra `lm-eval`."""

import json
import logging
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import datasets
import lm_eval
from lm_eval.tasks import TaskManager

from gnomon.errors import ConfigError, DataError
from gnomon.evaluation.adapters.lm_eval_model import GnomonLM
from gnomon.evaluation.adapters.texts import Progress
from gnomon.rollouts.local import LocalEngine
from gnomon.runs import write_json, write_text


@dataclass(frozen=True, slots=True)
class Wanted:
    """Tasks by name (groups, tags and patterns too), of the harness or of a folder; of each the first `limit`
    rows; under the chat template, or as plain text."""

    tasks: tuple[str, ...]
    folder: Path | None = None
    limit: int | None = None
    chat: bool = False


def run(
    name: str, engine: LocalEngine, wanted: Wanted, out: Path, progress: Progress | None = None
) -> dict[str, Any]:
    """Each task's metrics, by name; `results.json` and `samples_TASK.jsonl` in `out` have them with the rows,
    as those of the model called `name`.

    ConfigError for a task that is not there, DataError where its data cannot be had.
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it tells at length what it does
    datasets.disable_progress_bars()
    tasks, manager = _found(wanted)
    try:
        found = lm_eval.simple_evaluate(
            model=GnomonLM(engine, progress=progress),
            tasks=tasks,
            task_manager=manager,
            limit=wanted.limit,
            apply_chat_template=wanted.chat,
        )
    except OSError as problem:  # what datasets raises where a hub is out of reach, among others
        raise DataError(
            f"tasks {', '.join(tasks)}: their data cannot be had ({problem}); tasks of the harness fetch it "
            "from a hub, those of gnomon harness export have it beside them"
        ) from problem
    results = plain(found)
    results["config"]["model"] = name
    for task, samples in results.pop("samples").items():
        lines = [json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples]
        write_text(out / f"samples_{task}.jsonl", "".join(lines))
    write_json(out / "results.json", results)
    metrics: dict[str, Any] = results["results"]
    return metrics


def _found(wanted: Wanted) -> tuple[list[str], TaskManager]:
    """The names that are meant and where they are: in the folder by itself, for all others take long to
    list; or else among all."""
    if wanted.folder is not None and not wanted.folder.is_dir():
        raise ConfigError(f"there is no folder {wanted.folder}; name the one that holds the tasks' YAML")
    folder = None if wanted.folder is None else str(wanted.folder)
    for everything in (False, True) if folder else (True,):
        manager = TaskManager(include_path=folder, include_defaults=everything)
        named = {name: manager.match_tasks([name]) for name in wanted.tasks}
        if all(named.values()):
            return sorted({task for tasks in named.values() for task in tasks}), manager
    missing = next(name for name, tasks in named.items() if not tasks)
    near = get_close_matches(missing, manager.all_tasks)
    hint = f"did you mean {' or '.join(near)}?" if near else "lm_eval ls tasks lists them"
    raise ConfigError(f"lm-evaluation-harness has no task {missing!r}; {hint}")


def plain(value: Any) -> Any:
    """A value as JSON has it: numpy's numbers as numbers, functions as text, what is no number as None."""

    def other(value: Any) -> Any:
        return value.item() if hasattr(value, "item") else str(value)

    return json.loads(json.dumps(value, default=other), parse_constant=lambda name: None)
