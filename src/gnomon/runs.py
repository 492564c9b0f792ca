"""The run folder, and how files get there: whole or not at all, from one process at a time."""

import errno
import fcntl
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import get_ident
from typing import IO, Any

import yaml

from gnomon import tracking
from gnomon.errors import ConfigError, DivergenceError, StorageError
from gnomon.tracking import Tracker

FULL = {errno.ENOSPC, errno.EDQUOT}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
UNUSABLE = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EFBIG, errno.EIO}
UNLOCKABLE = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
AGAIN = "and run the same command again"


@contextmanager
def storing(folder: Path, needed: int | None = None) -> Iterator[None]:
    """Turn the system's errors about `folder` and what is in it into StorageError; `needed` is in bytes."""
    try:
        yield
    except OSError as problem:
        if problem.errno in FULL:
            raise StorageError(full_disk(folder, needed)) from problem
        where = Path(problem.filename or folder)
        if not (where.is_relative_to(folder) or folder.is_relative_to(where)):
            raise
        if problem.errno in REFUSED:
            raise StorageError(
                f"{where}: {problem.strerror}; let this user write there, or name another folder, {AGAIN}"
            ) from problem
        if problem.errno in UNUSABLE | UNLOCKABLE:
            raise StorageError(f"{where}: {problem.strerror}; name another folder, {AGAIN}") from problem
        raise


def full_disk(folder: Path, needed: int | None = None) -> str:
    """What to tell when `folder` is on a full disk; `needed` is in bytes."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    need = "" if needed is None else f"at least {needed:,} bytes are needed, "
    free = shutil.disk_usage(there).free
    return f"{folder}: the disk or quota is full ({need}{free:,} bytes are free); free space {AGAIN}"


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all; it is on the disk when this returns."""
    content = text.encode()
    with storing(path.parent, len(content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}-{get_ident()}.tmp")
        try:
            draft.write_bytes(content)
            sync(draft)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, whole or not at all; StorageError where it is not JSON."""
    try:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise StorageError(f"{path} was not written, its content is not JSON: {problem}") from problem
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file; StorageError where it cannot be read or is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise StorageError(f"{path} cannot be read: {problem.strerror}; check the path") from problem
    except ValueError as problem:
        raise StorageError(f"{path} is damaged, not JSON: {problem}; delete it {AGAIN}") from problem


@contextmanager
def exclusive(lock: Path, what: str) -> Iterator[None]:
    """Hold `lock` for this process; ConfigError names the process that holds it already.

    The kernel lets go of a dead process's lock, so a lock file that is left over means nothing.
    """
    with storing(lock.parent):
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = _take(lock, what)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
    with file:
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _take(lock: Path, what: str) -> IO[str]:
    while True:
        file = lock.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            file.seek(0)
            holder = file.read() or "unknown"
            file.close()
            raise ConfigError(
                f"{what} is in use by process {holder}; wait until it ends or stop it, {AGAIN}"
            ) from problem
        # Its last holder may have removed the file between our opening and our locking it.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                return file
        file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics log, [] where there is none; a torn last line is left out."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    try:
        return [json.loads(line) for line in lines]
    except ValueError as problem:
        raise StorageError(f"{path} is damaged, not JSON lines: {problem}; delete it {AGAIN}") from problem


class MetricsLog:
    """One JSON object a line for each logged step, on the disk's side of this process at once.

    `copy` is a second file kept equal to the first: the log lies with the unfinished work it belongs
    to, and the copy where people look for it. `trackers` are told what is appended; a resumed run tells them
    again of the steps it takes again.
    """

    def __init__(self, path: Path, copy: Path | None = None, trackers: Sequence[Tracker] = ()) -> None:
        self.path, self.trackers = path, trackers
        self._files = (path,) if copy is None else (path, copy)
        self._rewrite(read_metrics(path))

    def append(self, step: int, values: Mapping[str, float | int | str]) -> None:
        """Add a step's row; DivergenceError on NaN or infinity, which JSON cannot hold."""
        for name, value in values.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise DivergenceError(
                    f"{self.path.stem}: {name} is {value} at step {step}; leave out what cannot be measured"
                )
        line = _line({"step": step, **values})
        for path in self._files:
            with storing(path.parent, len(line)):
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8") as file:
                    file.write(line)
        for tracker in self.trackers:
            tracker.log(dict(values), step=step)

    def close(self) -> None:
        """Tell the trackers that nothing more comes."""
        for tracker in self.trackers:
            tracker.finish()

    def truncate_after(self, step: int) -> None:
        """Forget the steps after `step`, which a resumed run takes again."""
        self._rewrite([row for row in read_metrics(self.path) if row["step"] <= step])

    def _rewrite(self, rows: list[dict[str, Any]]) -> None:
        for path in self._files:
            if rows:
                write_text(path, "".join(map(_line, rows)))
            else:
                path.unlink(missing_ok=True)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where one run's settings, metrics, manifest, answers and report lie; `trackers` show metrics too."""

    path: Path
    trackers: tuple[str, ...] = ()

    @property
    def config(self) -> Path:
        """The resolved settings of the latest run here."""
        return self.path / "config.yaml"

    @property
    def manifest(self) -> Path:
        """What every artefact was made of."""
        return self.path / "manifest.json"

    def metrics(self, stage: str) -> Path:
        """The metrics log of a stage."""
        return self.path / "metrics" / f"{stage}.jsonl"

    @property
    def models(self) -> Path:
        """Each model of the latest run here, under the name of the stage that made it."""
        return self.path / "models"

    def log(self, stage: str, work: Path) -> MetricsLog:
        """A stage's metrics log, in `work` and for people to see; close it when the stage is done."""
        return MetricsLog(work, self.metrics(stage), tracking.start(self.trackers, self.path, stage))

    @contextmanager
    def open(self) -> Iterator[None]:
        """Hold the folder for this process alone, freed of what a killed one left half-written."""
        tracking.check(self.trackers)
        with exclusive(self.path / ".lock", str(self.path)):
            for left in (*self.path.glob(".*.tmp"), *self.path.glob("metrics/.*.tmp")):
                left.unlink(missing_ok=True)
            yield

    def write_config(self, settings: Mapping[str, Any]) -> Path | None:
        """Save the resolved settings; the older ones, where they differ, are kept under the returned name."""
        text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
        kept = None
        if self.config.exists() and self.config.read_bytes() != text.encode():
            kept = next(p for n in count(1) if not (p := self.path / f"config.{n}.yaml").exists())
            with storing(self.path):
                shutil.copyfile(self.config, kept)
        write_text(self.config, text)
        return kept


@contextmanager
def held(place: Path) -> Iterator[None]:
    """Hold a folder for this process alone, as its run does; a file, or what is not there, is held by nobody.

    ConfigError where another process holds it.
    """
    with RunFolder(place).open() if place.is_dir() else nullcontext():
        yield
