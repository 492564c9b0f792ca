"""A stage: what it needs, how it is set, what it does; computed once for each distinct answer to these."""

import gc
import math
import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from gnomon.kernels.allocator import release
from gnomon.runs import MetricsLog, RunFolder, storing
from gnomon.store import Store, content_id

METRICS = "metrics.jsonl"
SMOOTHING = 30.0
"""Seconds over which the pace behind an estimated time is averaged."""


class Reporter(Protocol):
    """Tells people how far a run is. A cached stage is started, warns as it did, and is not finished."""

    def stage_started(self, name: str, *, cached: bool) -> None:
        """A stage begins, or is taken from the store."""

    def progress(self, name: str, done: int, total: int, note: str, eta_seconds: float | None) -> None:
        """`done` of `total` units; the estimate is None until there is a pace to go by."""

    def warning(self, text: str) -> None:
        """Something a person should know and that does not stop the run."""

    def stage_finished(self, name: str, seconds: float) -> None:
        """The stage's artefact is in the store."""


class SilentReporter:
    """Tells nobody anything."""

    def stage_started(self, name: str, *, cached: bool) -> None:
        """Nothing."""

    def progress(self, name: str, done: int, total: int, note: str, eta_seconds: float | None) -> None:
        """Nothing."""

    def warning(self, text: str) -> None:
        """Nothing."""

    def stage_finished(self, name: str, seconds: float) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """What a stage made: a folder in the store under the id of what it was made of."""

    id: str
    stage: str
    path: Path


class Pace:
    """Seconds a unit takes lately, from the moments at which counts were reached."""

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None
        self._units = self._seconds = 0.0

    def remaining(self, done: int, total: int, now: float) -> float | None:
        """Seconds until `total`; None before the second count, since a resumed stage starts anywhere."""
        if self._last is not None and done > self._last[0]:
            units, seconds = done - self._last[0], now - self._last[1]
            decay = math.exp(-seconds / SMOOTHING)
            self._units = self._units * decay + units
            self._seconds = self._seconds * decay + seconds
        if self._last is None or done != self._last[0]:
            self._last = (done, now)
        return self._seconds / self._units * (total - done) if self._units else None


@dataclass
class StageContext:
    """What a stage's function is given.

    `folder` becomes the artefact; `work` keeps checkpoints until then, over a kill too; `metrics` is the
    run's log of this stage, to be truncated after the step a checkpoint resumes from (without anything in
    `work` it begins empty). A stage that counts tokens sets `tokens` to all of them, earlier attempts' too.
    """

    name: str
    folder: Path
    work: Path
    inputs: Mapping[str, Artefact]
    metrics: MetricsLog
    reporter: Reporter
    tokens: int | None = None
    warnings: list[str] = field(default_factory=list)
    _pace: Pace = field(default_factory=Pace)

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Tell that `done` of `total` units are done."""
        eta = self._pace.remaining(done, total, time.monotonic())
        self.reporter.progress(self.name, done, total, text, eta)

    def warn(self, text: str) -> None:
        """Tell a person something, now and whenever this artefact is used again."""
        self.warnings.append(text)
        self.reporter.warning(text)


@dataclass(frozen=True)
class Stage:
    """`version` is raised by hand when the same settings come to mean something else."""

    name: str
    version: int
    settings: Mapping[str, Any]
    inputs: Mapping[str, Artefact]
    run: Callable[[StageContext], None]

    @property
    def recipe(self) -> dict[str, Any]:
        """Everything the artefact depends on, as JSON."""
        inputs = {name: artefact.id for name, artefact in self.inputs.items()}
        settings = dict(self.settings)
        return {"stage": self.name, "version": self.version, "settings": settings, "inputs": inputs}

    @property
    def id(self) -> str:
        """The artefact's id."""
        return content_id(self.recipe)


def execute(stage: Stage, store: Store, run: RunFolder, reporter: Reporter) -> Artefact:
    """The stage's artefact, computed unless the store has it; its metrics log lies in the run folder after.

    StorageError where the stored one is damaged; what the stage's function raises goes through, with
    the checkpoints left for the next attempt.
    """
    artefact = Artefact(stage.id, stage.name, store.path(stage.id))
    cached = store.has(artefact.id)
    reporter.stage_started(stage.name, cached=cached)
    if cached:
        _restore_metrics(store.open(artefact.id) / METRICS, run.metrics(stage.name))
        for text in store.about(artefact.id)["warnings"]:
            reporter.warning(text)
    else:
        seconds = _compute(stage, store, run, reporter)
        reporter.stage_finished(stage.name, seconds)
    return artefact


def _compute(stage: Stage, store: Store, run: RunFolder, reporter: Reporter) -> float:
    about: dict[str, Any] = stage.recipe
    with store.write(stage.id, about) as folder:
        partial = store.partial(stage.id)
        work = partial / "work"
        work.mkdir(exist_ok=True)
        resumed = any(work.iterdir())
        log = MetricsLog(partial / METRICS, copy=run.metrics(stage.name))
        if not resumed:
            log.truncate_after(-1)
        context = StageContext(stage.name, folder, work, stage.inputs, log, reporter)
        gc.collect()
        release()
        _reset_peak_memory()
        started, clock = datetime.now(UTC), time.monotonic()
        stage.run(context)
        seconds = time.monotonic() - clock
        if log.path.exists():
            shutil.copyfile(log.path, folder / METRICS)
        about |= {
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "peak_memory_gib": round(peak_memory_gib(), 3),
            "tokens": context.tokens,
            "resumed": resumed,
            "warnings": context.warnings,
        }
    return seconds


def _restore_metrics(stored: Path, shown: Path) -> None:
    if not stored.exists():
        shown.unlink(missing_ok=True)
        return
    with storing(shown.parent, stored.stat().st_size):
        shown.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(stored, shown)


def peak_memory_gib() -> float:
    """The most memory this process held, in GiB: during the stage on Linux, since its start elsewhere."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def _reset_peak_memory() -> None:
    """Let the kernel forget the peak so far; where it does not, peaks of earlier stages count too."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
