"""Models examined by suites, one model in memory at a time; what was asked once is not asked again."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gnomon.errors import ConfigError
from gnomon.evaluation.examine import Kept, Progress, Row, Suite, examine
from gnomon.evaluation.figures import figures
from gnomon.evaluation.subjects import Answering, Local, Subject
from gnomon.models.load import load
from gnomon.models.reference import is_served
from gnomon.pipeline.account import free_memory, peak_memory_gib
from gnomon.pipeline.lineage import software
from gnomon.pipeline.openings import Opening, record
from gnomon.pipeline.reporter import Reporter
from gnomon.pipeline.rows import write_lines
from gnomon.pipeline.stages import Start
from gnomon.rollouts.engine import Engine, Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.runs import RunFolder, write_json
from gnomon.store import content_id

Opened = Callable[[str, Path | None], Engine]
"""What answers for an endpoint's reference, and the file that keeps its replies, if any."""


def examination(
    models: Mapping[str, str],
    suites: Sequence[Suite],
    out: Path,
    reporter: Reporter,
    *,
    sampling: Sampling,
    seed: int = 0,
    opened: Opened | None = None,
) -> dict[str, Any]:
    """Every model (name to reference) on every suite: `rows.jsonl`, `summary.json` and kept replies in `out`.

    A model called `base` answers without a template, one called `elicited` after three fixed examples. The
    first model is what the others are compared with.
    An endpoint is left out of suites of likelihoods, which `skipped` tells. ConfigError where another process
    holds `out`.
    """
    rows: dict[str, dict[str, list[Row]]] = {suite.name: {} for suite in suites}
    skipped: dict[str, list[str]] = {}
    seconds: dict[str, float] = {}
    looks: list[Opening] = []
    with RunFolder(out).open():
        for name, ref in models.items():
            subject = subject_of(name, ref, opened)
            for suite in suites:
                with timed(reporter, f"{name}: {suite.name}", seconds) as told:
                    try:
                        kept = kept_replies(out, subject, suite)
                        own = examine(subject, suite, kept, sampling, seed=seed, progress=told)
                        rows[suite.name][name] = own
                        looks.append(look_at(subject, suite, sampling, seed))
                    except ConfigError as problem:
                        skipped.setdefault(name, []).append(suite.name)
                        reporter.warning(f"{suite.name}: {problem}")
            del subject
            free_memory()
        summary = {
            "models": dict(models),
            "suites": {s.name: figures(s, rows[s.name], seed=seed) for s in suites if rows[s.name]},
            "tasks": {suite.name: len(suite.tasks) for suite in suites},
            "skipped": skipped,
            "settings": {**asdict(sampling), "seed": seed},
            "costs": {"seconds": seconds, "peak_memory_gib": round(peak_memory_gib(), 2)},
            "software": software(),
        }
        judged = (row for own in rows.values() for each in own.values() for row in each)
        write_lines(out / "rows.jsonl", judged)
        _publish(out, summary, looks, reporter)
    return summary


def subject_of(name: str, ref: str, opened: Opened | None) -> Subject:
    """A model ready to be examined; one called `base` or `elicited` is asked in its own way."""
    how = {"raw": name == "base", "shown": name == "elicited"}
    if is_served(ref):
        if opened is None:
            raise ConfigError(f"{ref} is on a server; there is nothing here that asks it")
        return Answering(name, ref, opened(ref, None), **how)
    lm = load(ref)
    return Local(name, content_id([ref, Start(ref).digest]), lm, LocalEngine(lm), **how)


def look_at(subject: Subject, suite: Suite, sampling: Sampling, seed: int) -> Opening:
    """A look that is being taken, known by model, tasks and settings: again with these shows nothing new."""
    asked = [subject.id, [task.asked for task in suite.tasks], asdict(sampling), seed]
    return Opening.now(f"{subject.name}: {suite.name}", content_id(asked))


def _publish(out: Path, summary: Mapping[str, Any], looks: Sequence[Opening], reporter: Reporter) -> None:
    write_json(out / "summary.json", summary)
    told = record(RunFolder(out), looks)
    if told:
        reporter.warning(told)


def kept_replies(out: Path, subject: Subject, suite: Suite) -> Kept:
    """The replies to a suite that a folder has of a subject."""
    return Kept(out / "replies" / content_id([subject.id]) / f"{suite.name}.jsonl")


@contextmanager
def timed(reporter: Reporter, stage: str, seconds: dict[str, float]) -> Iterator[Progress]:
    """A stage that is told of with the time left at the pace so far; its `seconds` are added when it ends."""
    began = time.monotonic()

    def tell(done: int, total: int) -> None:
        left = (time.monotonic() - began) / done * (total - done)
        reporter.progress(stage, done, total, "", left)

    reporter.stage_started(stage, cached=False)
    yield tell
    seconds[stage] = round(time.monotonic() - began, 1)
    reporter.stage_finished(stage, seconds[stage])
