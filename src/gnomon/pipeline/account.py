"""What a piece of work uses: seconds and memory, over all its attempts."""

import gc
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from gnomon.errors import StorageError
from gnomon.kernels.allocator import release
from gnomon.runs import read_json, write_json
from gnomon.store import NOTHING

BEAT = 2.0
"""Seconds of work that a kill may leave out of the account."""


@contextmanager
def accounting(file: Path) -> Iterator[dict[str, float]]:
    """What the block has used when it ends, `seconds` and `peak_memory_gib`, with all that `file` tells of
    attempts before it.

    The file is kept up to date meanwhile, so that an attempt that is killed counts in the next one.
    """
    before: Mapping[str, float] = NOTHING
    with suppress(StorageError):  # there is none yet, or it is damaged: what is left is to begin anew
        before = read_json(file)
    clock, over = time.monotonic(), Event()

    def used() -> dict[str, float]:
        seconds = before.get("seconds", 0.0) + time.monotonic() - clock
        peak = max(before.get("peak_memory_gib", 0.0), peak_memory_gib())
        return {"seconds": round(seconds, 3), "peak_memory_gib": round(peak, 3)}

    def keep() -> None:
        while not over.wait(BEAT):
            with suppress(StorageError):  # the stage itself says what is wrong with the disk
                write_json(file, used())

    beat = Thread(target=keep, daemon=True)
    spent: dict[str, float] = {}
    beat.start()
    try:
        yield spent
    finally:
        over.set()
        beat.join()
        spent |= used()
        with suppress(StorageError):
            write_json(file, spent)


@contextmanager
def libraries_aside() -> Iterator[None]:
    """Within the block, do not look for what can be let go among what is there already.

    Libraries above all: half a million objects that are never let go, a third of a second for each look.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def free_memory() -> None:
    """Give back what nothing refers to any longer, models in a circle of references too."""
    gc.collect()
    release()


def peak_memory_gib() -> float:
    """The most memory this process held, in GiB: during the stage on Linux, since its start elsewhere."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def forget_peak() -> None:
    """Let the kernel forget the peak so far; where it does not, peaks of earlier stages count too."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
