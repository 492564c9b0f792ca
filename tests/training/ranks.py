"""Several processes that train together, as torchrun starts them: starting them, and what they do."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from guarded import guarded
from objectives import PROMPTS, Built, build
from policies import full as all_of_ppo
from torch.testing import assert_close

from gnomon.config import LoraSettings
from gnomon.distributed import add_up, gather, processes, rank, size, spread
from gnomon.errors import DataError
from gnomon.models.shards import is_part
from gnomon.records import Conversation
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.rollouts.shared import SharedEngine
from gnomon.training.loop import Trainer

CASES = {
    "sft": ("sft", {}),
    "one micro-batch": ("sft", {}),  # so that the second process has none
    "reward": ("reward", {}),
    "preference": ("preference", {}),
    "kto": ("kto", {}),
    "simpo": ("simpo", {}),
    "rloo": ("policy", {"beta": 0.1}),
    "grpo": ("policy", {"beta": 0.1, "algorithm": "grpo"}),
    "ppo": ("policy", {}),
    "guarded": ("policy", {}),
}
STEPS = 3
Make = Callable[[str], Built]
Train = Callable[[str, Path], dict[str, Any]]
LIMIT = 90
"""Seconds after which processes are taken to hang."""


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it wrote."""

    code: int
    err: str


def environment(number: int, count: int, port: int) -> dict[str, str]:
    """What torchrun tells a process."""
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    told = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1, "PYTHONPATH": paths}
    return {**os.environ, **{name: str(value) for name, value in (told | where).items()}}


def together(work: str, *arguments: Path | str, count: int = 2) -> list[Ended]:
    """Run a function, of this module or as `MODULE.FUNCTION`, in `count` processes; wait for all of them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [
        sys.executable,
        "-c",
        "import sys, ranks; ranks.main(*sys.argv[1:])",
        work,
        *map(str, arguments),
    ]
    started = [
        subprocess.Popen(command, env=environment(i, count, port), stderr=subprocess.PIPE, text=True)
        for i in range(count)
    ]
    try:
        errors = [process.communicate(timeout=LIMIT)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    return [Ended(process.returncode, err) for process, err in zip(started, errors, strict=True)]


def fine(ended: list[Ended]) -> None:
    """Fail where one of the processes did."""
    assert [process.code for process in ended] == [0] * len(ended), "\n".join(p.err for p in ended)


def main(work: str, *arguments: str) -> None:
    """What a process is started with."""
    module, _, name = work.rpartition(".")
    with processes():
        getattr(import_module(module or "ranks"), name)(*arguments)


def small(case: str) -> Built:
    """Six steps of half the rows, in micro-batches of a row or two; with dropout for instruction tuning."""
    if case == "ppo":
        torch.manual_seed(5)
        return all_of_ppo("float64", steps=2, epochs=3, minibatches=1, optim={"micro_tokens": 60, "lr": 1e-3})
    if case == "guarded":
        optim = {"batch_size": 4, "micro_tokens": 60, "lr": 1e-3}
        return guarded("float64", best="eval/reward/second", steps=6, samples=2, optim=optim)
    kind, policy = CASES[case]
    lora = LoraSettings(rank=2, dropout=0.2 if kind == "sft" else 0.0)
    torch.manual_seed(5)
    optim = {
        "batch_size": 4,
        "epochs": 3,
        "micro_tokens": 100_000 if case == "one micro-batch" else 60,
        "lr": 1e-3,
    }
    return build(kind, dtype="float64", lora=lora, optim=optim, policy=policy | {"steps": 6})


class CutError(DataError):
    """The machine was taken away."""


def cut(done: int, total: int, note: str) -> None:
    """Cut after the third step."""
    if done == STEPS:
        raise CutError("cut")


def train(trainer: Trainer) -> list[dict[str, torch.Tensor]]:
    """Train until a cut or the last step: every step's gradient; every process must take part."""
    gradients: list[dict[str, torch.Tensor]] = []

    def note(*_: Any) -> None:
        gradients.append({name: full(p.grad) for name, p in trainer.trained.items() if p.grad is not None})

    trainer.optimizer.register_step_pre_hook(note)
    with contextlib.suppress(CutError):
        trainer.run()
    return gradients


def full(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor that may be shared out; every process must ask."""
    return tensor.full_tensor() if is_part(tensor) else tensor.detach().clone()


def trained(case: str, work: Path, *, stop: bool = False) -> dict[str, Any]:
    """Train until the third step (`stop`) or the last: weights, and every step's gradient."""
    trainer = small(case).trainer(work, cut if stop else None)
    gradients = train(trainer)
    weights = {name: p.detach().clone() for name, p in trainer.trained.items()}
    return {"weights": weights, "gradients": gradients, "tokens": trainer.tokens, "step": trainer.step}


def saved(path: Path) -> Any:
    """What a process wrote down."""
    return torch.load(path, weights_only=False)


def close(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """Fail where two processes' tensors are not one's, but for rounding."""
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert_close(value, theirs[name], rtol=1e-6, atol=1e-12)


def drawn() -> dict[str, Any]:
    """A step's samples with what they are worth, and answers of a shared engine to prompts that repeat."""
    objective = small("rloo").objective
    rollouts = objective.roll_out(1)
    conversations = [Conversation.of(prompt) for prompt in (*PROMPTS, PROMPTS[0], PROMPTS[2])]
    answers = SharedEngine(LocalEngine(objective.lm)).answer(conversations, Sampling(5, 1.0), 7)
    return {
        "samples": [(s.prompt_ids, s.response_ids, s.logps, s.text) for s in [*rollouts.samples, *answers]],
        "numbers": [rollouts.scores, rollouts.kl, rollouts.paid],
        "ids": rollouts.ids,
    }


def steps(folder: str) -> None:
    """Every case trained to its end, and samples drawn; what each process ended up with is saved."""
    place = Path(folder)
    for case in CASES:
        torch.save(trained(case, place / case), place / f"{case}-{rank()}.pt")
    torch.save(drawn(), place / f"drawn-{rank()}.pt")


def exchanges(folder: str) -> None:
    """What the processes say to each other, written down by each."""
    tensors = [
        torch.full((n,), rank() + 1.0, dtype=dtype)
        for n in (1, 5, 2)
        for dtype in (torch.float32, torch.float64)
    ]
    tensors.append(torch.full((3, 4), rank() + 1.0).t())
    add_up(tensors)
    found = {
        "gathered": gather(f"of {rank()}"),
        "spread": spread([5, 1, 1, 1, 1], lambda places: [f"{place} in {rank()}" for place in places]),
        "few": spread([3], lambda places: places),
        "sums": [tensor.tolist() for tensor in tensors],
        "size": size(),
    }
    (Path(folder) / f"{rank()}.json").write_text(json.dumps(found))


def cut_short(case: str, folder: str, small: Make = small) -> None:
    """Training that is cut in the first process after step 3."""
    small(case).trainer(Path(folder), cut).run()


def whole(case: str, folder: str, result: str, trained: Train = trained) -> None:
    """Training to the end, from where it was left."""
    found = trained(case, Path(folder))
    torch.save(found, Path(result) / f"{rank()}.pt")


def at(step: int, process: int, act: Any, folder: str, built: Built) -> None:
    """Train with something happening to one process once, in the midst of a step."""
    trainer, loss, happened = built.trainer(Path(folder)), built.objective.loss, []

    def happening(micro: Any) -> Any:
        share, values = loss(micro)
        if trainer.step == step and rank() == process and not happened:
            happened.append(step)
            share = act(share)
        return share, values

    built.objective.loss = happening
    trainer.run()


def killed(folder: str, small: Make = small) -> None:
    """SIGKILL for the second process in its fifth step."""
    at(4, 1, lambda share: os.kill(os.getpid(), signal.SIGKILL), folder, small("reward"))


def diverging(folder: str, small: Make = small) -> None:
    """A loss that is no number, in the second process alone."""
    at(1, 1, lambda share: share * float("nan"), folder, small("reward"))


def broken(folder: str, small: Make = small) -> None:
    """A mistake in the program, in the second process alone."""
    at(1, 1, lambda share: share.no_such_thing, folder, small("reward"))


def terminated(folder: str) -> None:
    """SIGTERM for the second process alone, in its third step."""

    def act(share: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return share

    at(2, 1, act, folder, small("reward"))


def other_weights(folder: str) -> None:
    """A weight that differs in the second process by what a float cannot show in a printout."""
    built = small("sft")
    if rank() == 1:
        with torch.no_grad():
            next(p for p in built.module.parameters() if p.requires_grad).view(-1)[0] += 1e-12
    built.trainer(Path(folder)).run()
