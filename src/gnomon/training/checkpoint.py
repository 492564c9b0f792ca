"""Checkpoints of a stage in progress: written beside it, whole or not at all; two are kept, and those that
are asked for; a damaged one is passed over.

Where weights are shared out each process writes a part of its own, and there is no checkpoint until the last
part is there.
"""

import os
import pickle
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import recursively_apply
from torch import Tensor

from gnomon.runs import storing, sync
from gnomon.training.parts import joined

KEPT = 2

NAME = re.compile(r"checkpoint-(\d+)(?:-(\d+)-of-(\d+))?\.pt")


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a checkpoint a file is, from 0, of how many."""

    number: int
    of: int


WHOLE = Part(0, 1)


class Writer:
    """Writes checkpoints while training goes on, one at a time; its next call raises what it failed at."""

    def __init__(self, folder: Path, thread: Executor, part: Part) -> None:
        self._folder, self._thread, self._part = folder, thread, part
        self._writing: Future[None] | None = None

    def put(self, step: int, state: Mapping[str, Any], keep: Collection[int] = ()) -> None:
        """Copy the state, once the last one is written, and write the copy beside what follows."""
        self.finish()
        self._writing = self._thread.submit(save, self._folder, step, copied(state), self._part, keep)

    def check(self) -> None:
        """Raise what writing failed at, if it is over."""
        if self._writing is not None and self._writing.done():
            self.finish()

    def finish(self) -> None:
        """Wait until what was put is written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()


@contextmanager
def writing(folder: Path, part: Part = WHOLE) -> Iterator[Writer]:
    """A writer of this part to `folder`; however the block ends, what was put is written then."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        writer = Writer(folder, thread, part)
        try:
            yield writer
        finally:
            writer.finish()


def copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """The same state with every tensor copied to the host's memory, where training does not change it."""
    there: dict[str, Any] = recursively_apply(lambda tensor: tensor.detach().to("cpu", copy=True), state)
    return there


def save(
    folder: Path, step: int, state: Mapping[str, Any], part: Part = WHOLE, keep: Collection[int] = ()
) -> None:
    """Write the state after `step` steps, or a part of it, and drop all checkpoints but the newest `KEPT` and
    those after as many steps as `keep` names."""
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".checkpoint.{part.number}.{os.getpid()}.tmp"
        try:
            torch.save({"step": step, **state}, draft)
            sync(draft)
            draft.replace(_path(folder, step, part))
        except RuntimeError as problem:  # torch reports a failed write as RuntimeError
            raise OSError(28, f"checkpoint cannot be written: {problem}", str(draft)) from problem
        finally:
            draft.unlink(missing_ok=True)
        sync(folder)
    kept = sorted({_step(files[0]) for files in _complete(folder)})[-KEPT:]
    for file in folder.glob("checkpoint-*.pt"):
        if len(kept) == KEPT and _step(file) < kept[0] and _step(file) not in keep:
            file.unlink(missing_ok=True)


def latest(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest checkpoint that can be read (None where there is none), and what was passed over.

    What a killed process left half-written is removed, or every kill would cost a checkpoint of disk. So are
    parts that are newer, or one of them might be taken for a part of what is written next.
    """
    for left in folder.glob(".checkpoint.*.tmp"):
        left.unlink(missing_ok=True)
    state, damaged = _newest(folder)
    for file in folder.glob("checkpoint-*-of-*.pt"):
        if state is None or _step(file) > state["step"]:
            file.unlink(missing_ok=True)
    return state, damaged


def _newest(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    damaged: list[str] = []
    for files in _complete(folder):
        try:
            for path in files:
                _check(path)
            return _read(files), damaged
        except (
            RuntimeError,
            EOFError,
            OSError,
            ValueError,
            pickle.UnpicklingError,
            zipfile.BadZipFile,
        ) as problem:
            damaged.append(
                f"{path} is damaged ({problem}) and was passed over; training resumes from before it"
            )
    return None, damaged


def read(folder: Path, step: int) -> dict[str, Any]:
    """The checkpoint after `step` steps, which was found whole or kept."""
    with storing(folder):
        return _read(next(files for files in _complete(folder) if _step(files[0]) == step))


def random_state() -> dict[str, Tensor]:
    """What random draws depend on: the CPU's generator, and this process's GPU's where one is in use."""
    state = {"rng": torch.get_rng_state()}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state["rng_cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Draw on from a `random_state`, wherever it was taken.

    torch keeps a GPU's state until the GPU is first used, which without one is never.
    """
    torch.set_rng_state(state["rng"])
    if "rng_cuda" in state:
        torch.cuda.set_rng_state(state["rng_cuda"])


def _path(folder: Path, step: int, part: Part) -> Path:
    which = "" if part.of == 1 else f"-{part.number + 1}-of-{part.of}"
    return folder / f"checkpoint-{step:08d}{which}.pt"


def _read(files: Sequence[Path]) -> dict[str, Any]:
    if len(files) == 1:
        whole: dict[str, Any] = torch.load(files[0], map_location="cpu", weights_only=True)
        return whole
    # mapped, not read: a process takes its own rows of each part
    parts = [torch.load(path, map_location="cpu", weights_only=True, mmap=True) for path in files]
    state: dict[str, Any] = joined(parts)
    return state


def _check(path: Path) -> None:
    """Raise where a byte has changed since it was written, which torch.load would not notice."""
    with zipfile.ZipFile(path) as archive:
        if name := archive.testzip():
            raise zipfile.BadZipFile(f"checksum of {name} is wrong")


def _step(file: Path) -> int:
    found = NAME.fullmatch(file.name)
    return int(found[1]) if found else -1


def _complete(folder: Path) -> list[list[Path]]:
    """The files of each checkpoint of which no part is missing, the newest first."""
    found: dict[tuple[int, int], dict[int, Path]] = {}
    for file in folder.glob("checkpoint-*.pt"):
        if named := NAME.fullmatch(file.name):
            step, number, of = (int(group or 1) for group in named.groups())
            found.setdefault((step, of), {})[number] = file
    return [
        [parts[number] for number in sorted(parts)]
        for (_, of), parts in sorted(found.items(), reverse=True)
        if len(parts) == of
    ]
