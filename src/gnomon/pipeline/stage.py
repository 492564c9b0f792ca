"""A stage: what it needs, how it is set, what it does; computed once for each distinct answer to these."""

import shutil
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gnomon.distributed import agreed, gather, leads
from gnomon.pipeline.account import accounting, forget_peak, free_memory
from gnomon.pipeline.pace import Pace
from gnomon.pipeline.reporter import Reporter, SilentReporter
from gnomon.runs import MetricsLog, RunFolder, read_json, storing
from gnomon.store import MANIFEST, Store, content_id

METRICS = "metrics.jsonl"


@dataclass(frozen=True, slots=True)
class Artefact:
    """What a stage made: a folder in the store under the id of what it was made of.

    As an input it stands for all that is in it, or where files are named for these alone.
    """

    id: str
    stage: str
    path: Path
    inputs: "Mapping[str, Artefact]" = field(default_factory=dict)
    files: tuple[str, ...] = ()

    def only(self, *files: str) -> "Artefact":
        """Itself, as an input of a stage that reads these files and depends on no others."""
        return replace(self, files=files)

    def file(self, name: str) -> Path:
        """Where a file of it is, one of those that are read."""
        assert not self.files or name in self.files, f"{name} is read but not named among {self.files}"
        return self.path / name

    @property
    def identity(self) -> str | dict[str, str]:
        """What depends on it depends on this: its id, or the sha256 of each file that is read."""
        if not self.files:
            return self.id
        written = read_json(self.path / MANIFEST)["files"]
        return {name: written[name]["sha256"] for name in self.files}


@dataclass
class StageContext:
    """What a stage's function is given.

    `folder` becomes the artefact; `work` keeps checkpoints until then, over a kill too; `metrics` is the
    run's log of this stage, to be truncated after the step a checkpoint resumes from (without anything in
    `work` it begins empty). A stage that counts tokens sets `tokens` to all of them, earlier attempts' too.
    Where it trains, torch draws by `seed`: of dropout the same for the same stage, whatever ran before it.
    """

    name: str
    folder: Path
    work: Path
    inputs: Mapping[str, Artefact]
    metrics: MetricsLog
    reporter: Reporter
    seed: int = 0
    tokens: int | None = None
    warnings: list[str] = field(default_factory=list)
    _pace: Pace = field(default_factory=Pace)

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Tell that `done` of `total` units are done."""
        eta = self._pace.remaining(done, total, time.monotonic())
        self.reporter.progress(self.name, done, total, text, eta)

    def apart(self, name: str) -> "StageContext":
        """A place of its own for a part of the work, whose checkpoints and log are not the stage's."""
        work = self.work / name
        work.mkdir(exist_ok=True)
        seed = _seed(self.seed, name)
        return replace(self, work=work, metrics=MetricsLog(work / METRICS), seed=seed, _pace=Pace())

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
        inputs = {name: artefact.identity for name, artefact in self.inputs.items()}
        settings = dict(self.settings)
        return {"stage": self.name, "version": self.version, "settings": settings, "inputs": inputs}

    @property
    def id(self) -> str:
        """The artefact's id."""
        return content_id(self.recipe)

    @property
    def seed(self) -> int:
        """What torch draws by where the stage trains: of the seed among its settings, and of its name."""
        return _seed(self.settings.get("seed"), self.name)


def _seed(seed: int | None, name: str) -> int:
    return zlib.crc32(f"{seed}/{name}".encode())


def promised(stage: Stage, store: Store) -> Artefact:
    """The artefact that a stage has made or will make."""
    return Artefact(stage.id, stage.name, store.path(stage.id), stage.inputs)


def execute(stage: Stage, store: Store, run: RunFolder, reporter: Reporter) -> Artefact:
    """The stage's artefact, computed unless the store has it; its metrics log lies in the run folder after.

    Every process runs the stage's function; what the first one leaves in its folder becomes the artefact.
    StorageError where the stored one is damaged; what the stage's function raises goes through, with
    the checkpoints left for the next attempt.
    """
    artefact = promised(stage, store)
    cached = agreed(store.has(artefact.id))
    reporter.stage_started(stage.name, cached=cached)
    if cached:
        if leads():
            _restore_metrics(store.open(artefact.id) / METRICS, run.metrics(stage.name))
        for text in store.about(artefact.id)["warnings"]:
            reporter.warning(text)
    elif leads():
        seconds = _compute(stage, store, run, reporter)
        reporter.stage_finished(stage.name, seconds)
    else:
        _assist(stage)
    gather(None)  # what the first process wrote is there for all
    return artefact


def _compute(stage: Stage, store: Store, run: RunFolder, reporter: Reporter) -> float:
    about: dict[str, Any] = stage.recipe
    about["read"] = {name: of.identity for name, of in stage.inputs.items() if of.files}
    about["inputs"] = {name: of.id for name, of in stage.inputs.items()}
    with store.write(stage.id, about) as folder:
        partial = store.partial(stage.id)
        work = partial / "work"
        work.mkdir(exist_ok=True)
        resumed = any(work.iterdir())
        with closing(run.log(stage.name, partial / METRICS)) as log:
            if not resumed:
                log.truncate_after(-1)
            context = StageContext(stage.name, folder, work, stage.inputs, log, reporter, stage.seed)
            free_memory()
            forget_peak()
            started = datetime.now(UTC)
            with accounting(partial / "spent.json") as spent:
                stage.run(context)
        if log.path.exists():
            shutil.copyfile(log.path, folder / METRICS)
        about |= {
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            **spent,
            "tokens": context.tokens,
            "resumed": resumed,
            "warnings": context.warnings,
        }
    return float(spent["seconds"])


def _assist(stage: Stage) -> None:
    """Run a stage for the part that this process has in it; what it writes itself is thrown away."""
    with TemporaryDirectory() as scratch:
        place = Path(scratch)
        log = MetricsLog(place / METRICS)
        context = StageContext(stage.name, place, place, stage.inputs, log, SilentReporter(), stage.seed)
        free_memory()
        stage.run(context)


def _restore_metrics(stored: Path, shown: Path) -> None:
    if not stored.exists():
        shown.unlink(missing_ok=True)
        return
    with storing(shown.parent, stored.stat().st_size):
        shown.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(stored, shown)
