"""Checkpoints of a stage in progress: written beside it, whole or not at all, two kept, a damaged one passed
over."""

import os
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import recursively_apply
from torch import Tensor

from gnomon.runs import storing, sync

KEPT = 2


class Writer:
    """Writes checkpoints while training goes on, one at a time; its next call raises what it failed at."""

    def __init__(self, folder: Path, thread: Executor) -> None:
        self._folder, self._thread = folder, thread
        self._writing: Future[None] | None = None

    def put(self, step: int, state: Mapping[str, Any]) -> None:
        """Copy the state, once the last one is written, and write the copy beside what follows."""
        self.finish()
        self._writing = self._thread.submit(save, self._folder, step, copied(state))

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
def writing(folder: Path) -> Iterator[Writer]:
    """A writer to `folder`; however the block ends, what was put is written then."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        writer = Writer(folder, thread)
        try:
            yield writer
        finally:
            writer.finish()


def copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """The same state with every tensor copied to the host's memory, where training does not change it."""
    there: dict[str, Any] = recursively_apply(lambda tensor: tensor.detach().to("cpu", copy=True), state)
    return there


def save(folder: Path, step: int, state: Mapping[str, Any]) -> None:
    """Write the state after `step` steps and drop all but the newest `KEPT` checkpoints."""
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".checkpoint.{os.getpid()}.tmp"
        try:
            torch.save({"step": step, **state}, draft)
            sync(draft)
            draft.replace(_path(folder, step))
        except RuntimeError as problem:  # torch reports a failed write as RuntimeError
            raise OSError(28, f"checkpoint cannot be written: {problem}", str(draft)) from problem
        finally:
            draft.unlink(missing_ok=True)
        sync(folder)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)


def latest(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest checkpoint that can be read (None where there is none), and what was passed over.

    What a killed process left half-written is removed, or every kill would cost a checkpoint of disk.
    """
    for left in folder.glob(".checkpoint.*.tmp"):
        left.unlink(missing_ok=True)
    damaged: list[str] = []
    for path in _newest_first(folder):
        try:
            _check(path)
            return _read(path), damaged
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
    """The checkpoint after `step` steps, which another process has found whole."""
    with storing(folder):
        return _read(_path(folder, step))


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


def _path(folder: Path, step: int) -> Path:
    return folder / f"checkpoint-{step:08d}.pt"


def _read(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _check(path: Path) -> None:
    """Raise where a byte has changed since it was written, which torch.load would not notice."""
    with zipfile.ZipFile(path) as archive:
        if name := archive.testzip():
            raise zipfile.BadZipFile(f"checksum of {name} is wrong")


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.pt"), reverse=True)
