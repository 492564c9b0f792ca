"""Checkpoints of a stage in progress: written whole or not at all, two kept, a damaged one passed over."""

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gnomon.runs import storing, sync

KEPT = 2


def save(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write the state after `step` steps and drop all but the newest `KEPT` checkpoints."""
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".checkpoint.{os.getpid()}.tmp"
        try:
            torch.save({"step": step, **state}, draft)
            sync(draft)
            draft.replace(folder / f"checkpoint-{step:08d}.pt")
        except RuntimeError as problem:  # torch reports a failed write as RuntimeError
            raise OSError(28, f"checkpoint cannot be written: {problem}", str(draft)) from problem
        finally:
            draft.unlink(missing_ok=True)
        sync(folder)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)


def latest(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest checkpoint that can be read (None where there is none), and what was passed over."""
    damaged: list[str] = []
    for path in _newest_first(folder):
        try:
            _check(path)
            return torch.load(path, map_location="cpu", weights_only=True), damaged
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


def _check(path: Path) -> None:
    """Raise where a byte has changed since it was written, which torch.load would not notice."""
    with zipfile.ZipFile(path) as archive:
        if name := archive.testzip():
            raise zipfile.BadZipFile(f"checksum of {name} is wrong")


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.pt"), reverse=True)
