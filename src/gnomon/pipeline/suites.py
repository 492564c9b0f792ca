"""Suites on the road: every trained model examined by what the recipe names, beside the held-out prompts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gnomon.config import Recipe
from gnomon.data.splits import opening
from gnomon.distributed import agreed
from gnomon.evaluation.examine import Kept, Row, Suite, examine, sliced
from gnomon.evaluation.figures import figures
from gnomon.evaluation.subjects import Local
from gnomon.evaluation.suites.catalogue import suites_of
from gnomon.evaluation.tasks import Ask, Choose, Task
from gnomon.models.load import load
from gnomon.pipeline.rows import read_lines, write_lines
from gnomon.pipeline.stage import Artefact, Stage, StageContext
from gnomon.pipeline.stages import Start
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.rollouts.shared import SharedEngine
from gnomon.store import content_id, file_digest

STAGE = "suites_"
ROWS = "rows.jsonl"


def suites(recipe: Recipe) -> list[Suite]:
    """The suites a recipe names, each the slice of it that is asked; ConfigError where there is none such."""
    settings = recipe.evaluation
    return [sliced(suite, settings.suite_limit, recipe.seed) for suite in suites_of(settings.suites)]


def asked(chosen: Sequence[Suite]) -> list[tuple[str, str]]:
    """The id and what tells it from others of every task."""
    return [(task.id, _told(task)) for suite in chosen for task in suite.tasks]


def suites_stage(name: str, recipe: Recipe, model: Start) -> Stage:
    """A model's judged replies to the suites of the recipe."""
    chosen = suites(recipe)
    evaluation, dtype = recipe.evaluation, recipe.model.dtype
    sampling = Sampling(evaluation.suite_tokens, evaluation.temperature)

    def run(context: StageContext) -> None:
        lm = load(model.ref, dtype=dtype)
        subject = Local(name, model.ref, lm, SharedEngine(LocalEngine(lm)))
        rows: list[Row] = []
        total = sum(len(suite.tasks) for suite in chosen)
        for suite in chosen:
            kept = Kept(context.work / f"{suite.name}.jsonl")
            kept.replies = agreed(kept.replies)

            def told(done: int, _: int, before: int = len(rows), of: str = suite.name) -> None:
                context.progress(before + done, total, of)

            rows += examine(subject, suite, kept, sampling, seed=recipe.seed, progress=told)
        write_lines(context.folder / ROWS, rows)

    settings = {
        "suites": [_identity(suite, text) for suite, text in _named(chosen, evaluation.suites)],
        "tokens": evaluation.suite_tokens,
        "temperature": evaluation.temperature,
        "dtype": dtype,
        "seed": recipe.seed,
        "name": name,
        **model.settings,
    }
    return Stage(f"{STAGE}{name}", 2, settings, model.inputs, run)


def examined(recipe: Recipe, made: Mapping[str, Artefact]) -> dict[str, Any]:
    """The sections "suites" and "tasks" of a summary, from what the stages left; nothing where none did."""
    stages = {name.removeprefix(STAGE): own for name, own in made.items() if name.startswith(STAGE)}
    if not stages:
        return {}
    rows = {name: read_lines(artefact.path / ROWS) for name, artefact in stages.items()}
    chosen = suites(recipe)
    found = {}
    for suite in chosen:
        own = {name: [row for row in each if row["suite"] == suite.name] for name, each in rows.items()}
        found[suite.name] = figures(suite, own, resamples=recipe.evaluation.bootstrap, seed=recipe.seed)
    return {"suites": found, "tasks": {suite.name: len(suite.tasks) for suite in chosen}}


def _named(chosen: Sequence[Suite], texts: Sequence[str]) -> list[tuple[Suite, str]]:
    """Each suite with the file it was read from, empty for one that comes with data of its own."""
    given = {name: file for name, _, file in (text.partition("=") for text in texts)}
    return [(suite, given.get(suite.name, "")) for suite in chosen]


def _identity(suite: Suite, file: str) -> dict[str, str]:
    digest = file_digest(Path(file)) if file else ""
    return {"name": suite.name, "file": digest, "asked": content_id([task.asked for task in suite.tasks])}


def _told(task: Task) -> str:
    if isinstance(task, Ask):
        return task.turns[0]
    if isinstance(task, Choose):
        return opening(task.frames.get("plain") or next(iter(task.frames.values())))
    return task.text
