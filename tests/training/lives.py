"""Training that is killed at random moments, again and again; each life is a fork of one process.

Run as a program, with an objective and a folder: it trains to the end once in peace and once killed `KILLS`
times, in folders below, and writes down what is left of both.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch
from objectives import build
from test_resume import DROPOUT, newest, state

from gnomon.training import checkpoint

KILLS = 20
STEPS = 80
END = "end.pt"
BORN, READY, TAKEN, SAVES, SAVED = b"b", b"r", b"t", b"s", b"d"
"""What a life tells: it begins, has loaded all, took a step, begins to write a checkpoint, has written it."""


class Moment(NamedTuple):
    """What a life is killed amid: between these marks, the first time or a later one, `times` at most."""

    begins: bytes
    ends: bytes
    times: int = 1


LOADING, FIRST_STEP = Moment(BORN, READY), Moment(READY, TAKEN)
LATER_STEP, SAVING = Moment(TAKEN, TAKEN, 2), Moment(SAVES, SAVED, 2)
IN_TURN = (LOADING, SAVING, FIRST_STEP, SAVING, LATER_STEP)
"""Steps go on while a checkpoint is written."""


def live(kind: str, folder: Path, tell: Callable[[bytes], object]) -> None:
    """Train on from the newest checkpoint that there is, which must be whole, and write down the end."""
    tell(BORN)
    left = newest(folder)
    optim = {"batch_size": 4, "epochs": STEPS / 2, "micro_tokens": 160, "checkpoint_every": 1, "lr": 1e-3}
    torch.manual_seed(5)  # a life that did not restore its random state would draw these numbers again
    built = build(kind, lora=DROPOUT, optim=optim, policy={"steps": STEPS, "kl_budget": 1e6})
    trainer = built.trainer(folder, lambda done, total, note: tell(TAKEN))
    prepare, save, asked = built.objective.prepare, checkpoint.save, []

    def prepared(step: int) -> object:
        if not asked:
            assert (step, trainer.warnings) == (left, [])
            tell(READY)
        asked.append(step)
        return prepare(step)

    def saved(*of: object) -> None:
        tell(SAVES)
        save(*of)
        tell(SAVED)

    built.objective.prepare, checkpoint.save = prepared, saved
    assert trainer.run().steps == STEPS
    assert asked == list(range(left, STEPS))
    torch.save(state(trainer, folder), folder / END)


def lives(kind: str, folder: Path, kills: int, spans: Mapping[Moment, float]) -> dict[Moment, float]:
    """So many lives that end by SIGKILL, amid each of `IN_TURN`, and one that ends by itself.

    Any instant of a moment is as likely as any other: `spans` are the seconds that each lasts, and what is
    returned are those of the last life.
    """
    chance, found = random.Random(kind), dict(spans)
    for left in range(kills, -1, -1):
        hear, tell = os.pipe()
        child = os.fork()
        if child == 0:
            live(kind, folder, partial(os.write, tell))
            os._exit(0)
        os.close(tell)
        if left:
            moment = IN_TURN[left % len(IN_TURN)]
            wait(hear, moment.begins, chance.randint(1, moment.times))
            time.sleep(chance.random() * spans[moment])
            os.kill(child, signal.SIGKILL)
        else:
            found = lasted(hear)
        _, status = os.waitpid(child, 0)
        os.close(hear)
        ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)
        if ended != (signal.SIGKILL if left else 0):
            sys.exit(f"with {left} kills to come a life ended by {ended}")
    return found


def wait(hear: int, mark: bytes, times: int) -> None:
    """Until the mark was told so many times, or the life is over."""
    while times and (told := os.read(hear, 1)):
        times -= told == mark


def lasted(hear: int) -> dict[Moment, float]:
    """Seconds that each moment of a whole life takes, on average."""
    began: dict[bytes, float] = {}
    found: dict[Moment, list[float]] = {moment: [] for moment in IN_TURN}
    while mark := os.read(hear, 1):
        now = time.monotonic()
        for moment, spans in found.items():
            if mark == moment.ends and moment.begins in began:
                spans.append(now - began.pop(moment.begins))
        began[mark] = now
    return {moment: fmean(spans) for moment, spans in found.items()}


if __name__ == "__main__":
    spans = lives(sys.argv[1], Path(sys.argv[2], "whole"), 0, {})
    lives(sys.argv[1], Path(sys.argv[2], "cut"), KILLS, spans)
