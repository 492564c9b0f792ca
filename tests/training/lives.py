"""Training that is killed at random moments, again and again; each life is a fork of one process.

Run as a program, with an objective and a folder: it trains to the end once in peace and once killed `KILLS`
times, in folders below, and writes down what is left of both.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from objectives import build
from test_resume import DROPOUT, state

KILLS = 20
STEPS = 80
END = "end.pt"


def live(kind: str, folder: Path, told: int) -> None:
    """Train on from what the last life left, tell of every step, and write down the end."""
    optim = {"batch_size": 4, "epochs": STEPS / 2, "micro_tokens": 160, "checkpoint_every": 1, "lr": 1e-3}
    torch.manual_seed(5)  # a life that did not restore its random state would draw these numbers again
    built = build(kind, lora=DROPOUT, optim=optim, policy={"steps": STEPS, "kl_budget": 1e6})
    trainer = built.trainer(folder, lambda done, total, note: os.write(told, b"."))
    assert trainer.run().steps == STEPS
    torch.save(state(trainer, folder), folder / END)


def lives(kind: str, folder: Path, kills: int, pace: float = 0.0) -> None:
    """So many lives that end by SIGKILL in their first steps, and one that ends by itself.

    `pace` is in seconds a step: any moment of a step, that of saving it too, is as likely as any other.
    """
    moments = random.Random(kind)
    for left in range(kills, -1, -1):
        hear, tell = os.pipe()
        child = os.fork()
        if child == 0:
            live(kind, folder, tell)
            os._exit(0)
        os.close(tell)
        if left:
            moment = moments.uniform(0, 2)
            os.read(hear, 1)
            if moment >= 1:
                os.read(hear, 1)
            time.sleep(moment % 1 * pace)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        os.close(hear)
        ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)
        if ended != (signal.SIGKILL if left else 0):
            sys.exit(f"with {left} kills to come a life ended by {ended}")


if __name__ == "__main__":
    started = time.monotonic()
    lives(sys.argv[1], Path(sys.argv[2], "whole"), 0)
    lives(sys.argv[1], Path(sys.argv[2], "cut"), KILLS, (time.monotonic() - started) / STEPS)
