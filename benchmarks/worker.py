"""A side of a benchmark as a process that works only when it is told to. Nothing here but Python's own
library, as both environments import it.

Messages are JSON lines: `{"do": "prepare", ...}` first, then `compare`, `step`, `memory`, `trim` in any
order, and `stop`; each but the last is answered by one line. A side blocks while it waits, so that others can
work.
"""

import ctypes
import gc
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Message = dict[str, Any]


class Stopped(BaseException):
    """The coordinator is done with this side; not an Exception, so that no training loop swallows it."""


@dataclass(frozen=True)
class Channel:
    """Where messages come from and where answers go."""

    receive: Callable[[], Message]
    send: Callable[[Message], None]


@dataclass
class Side:
    """A prepared side: what it answers, the loop it runs (which calls the boundary between steps), what it
    told when it was prepared, and the units (tokens, pairs, samples) of the latest step."""

    answers: dict[str, Callable[[], Message]]
    run: Callable[[Callable[[], None]], None]
    told: Message
    units: Callable[[], float]
    beside: float = 0.0
    """Seconds a step costs that its loop does not show: its share of what was computed once for all."""
    finish: Callable[[], None] = lambda: None
    """Waits for what was asked of the device and is not done yet."""


class Turns:
    """What stands between two steps: tell how long the last one took, wait until the next is asked for."""

    def __init__(self, channel: Channel, side: Side) -> None:
        self.channel, self.side = channel, side
        self.began: tuple[float, os.times_result] | None = None

    def boundary(self) -> None:
        """Called before the first step and after each."""
        self.side.finish()
        if self.began is not None:
            (began, before), now = self.began, os.times()
            self.channel.send(
                {
                    "seconds": time.perf_counter() - began + self.side.beside,
                    "system": now.system - before.system,
                    "processor": now.system - before.system + now.user - before.user,
                    "units": self.side.units(),
                }
            )
        while (asked := self.channel.receive()["do"]) != "step":
            if asked == "stop":
                raise Stopped
            self.channel.send((COMMON | self.side.answers)[asked]())
        self.began = time.perf_counter(), os.times()


def serve(channel: Channel, prepare: Callable[[Message], Side]) -> None:
    """Prepare what the first message asks for, and work until told to stop; errors go to the coordinator."""
    try:
        side = prepare(channel.receive())
        channel.send(side.told)
        turns = Turns(channel, side)
        side.run(turns.boundary)
        turns.boundary()
        raise RuntimeError("the rows are used up: prepare more steps than are asked for")
    except Stopped:
        return
    except Exception as problem:  # whatever a library raises, the coordinator must hear of it
        traceback.print_exc()
        channel.send({"error": f"{type(problem).__name__}: {problem}"})


def stdio() -> Channel:
    """Standard input and output; what libraries print goes to standard error."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def receive() -> Message:
        line = sys.stdin.readline()
        message: Message = json.loads(line) if line else {"do": "stop"}
        return message

    return Channel(receive, lambda message: print(json.dumps(message), file=out, flush=True))


def memory() -> Message:
    """The most this process held since it was last asked, in bytes; counting starts afresh."""
    peak = resident("VmHWM")
    held()
    Path("/proc/self/clear_refs").write_text("5")
    return {"peak": peak}


def held() -> int:
    """Bytes in use now: what was freed is given back first, or it would count as held."""
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    return resident()


def resident(field: str = "VmRSS") -> int:
    """Bytes held now (or VmHWM: at most, since that was reset)."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    return int(found[1]) * 1024 if found else 0


def trim() -> Message:
    """Give back what was freed in pieces; the count of the most that was held goes on."""
    return {"held": held()}


COMMON = {"memory": memory, "trim": trim}
"""What every side answers."""


def distinct_words(text: str) -> float:
    """The reward of both sides' policies: the share of a response's words that are distinct."""
    words = text.split()
    return len(set(words)) / len(words) if words else 0.0


def mean_size(advantages: Sequence[float]) -> float:
    """What a policy's loss is told on top of: advantages cancel in it, and leave rounding."""
    return sum(map(abs, advantages)) / len(advantages)
