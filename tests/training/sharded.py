"""What several processes do with models whose layers they share out."""

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import ranks
import torch
from objectives import COMPARISONS, DEMONSTRATIONS, Built, architecture, build
from ranks import cut, full, train

from gnomon.config import LoraSettings
from gnomon.distributed import rank, spread_over
from gnomon.models.recompute import recompute_layers
from gnomon.models.reward_model import save_scorer
from gnomon.models.save import save_model
from gnomon.models.shards import part_of, shard
from gnomon.training import checkpoint
from gnomon.training.loop import Trainer
from gnomon.training.objective import StepWork
from gnomon.training.policy import PolicyOptimisation
from gnomon.training.reward import score_comparisons
from gnomon.training.sft import encode_demonstrations, held_out_loss

ADAPTERS = LoraSettings(rank=2, dropout=0.2)
RLOO, GRPO = ({"beta": 0.1, "algorithm": name} for name in ("rloo", "grpo"))
CASES: dict[str, dict[str, Any]] = {
    "sft": {"kind": "sft"},
    "untied head": {"kind": "sft", "base": architecture("llama")},
    "one micro-batch": {"kind": "sft", "optim": {"micro_tokens": 100_000}},
    "recomputed": {"kind": "sft", "recompute": True},
    "reward": {"kind": "reward"},
    "preference": {"kind": "preference"},
    "kto": {"kind": "kto"},
    "rloo": {"kind": "policy", "policy": RLOO},
    "grpo": {"kind": "policy", "policy": GRPO},
    "adapters": {"kind": "sft", "lora": ADAPTERS},
    "adapted policy": {"kind": "policy", "policy": RLOO, "lora": LoraSettings(rank=2)},
}
NARROW = "bfloat16"
"""Rounded otherwise by two processes than by one; it goes on exactly all the same."""
SAVED = {"sft": save_model, "untied head": save_model, "adapters": save_model, "reward": save_scorer}


def small(case: str) -> Built:
    """Six steps of three rows, each a micro-batch, which two processes cannot share out equally."""
    plan = {"kind": "sft", "dtype": NARROW} if case == NARROW else dict(CASES[case])
    kind, recompute = plan.pop("kind"), plan.pop("recompute", False)
    torch.manual_seed(5)
    optim = {"batch_size": 6 if kind == "policy" else 3, "epochs": 2, "micro_tokens": 40, "lr": 1e-3}
    optim, policy = optim | plan.pop("optim", {}), plan.pop("policy", {}) | {"steps": 6}
    built = build(kind, **{"dtype": "float64", "lora": None, **plan}, optim=optim, policy=policy)
    if recompute:
        recompute_layers(built.module)
    shard(built.module)
    if getattr(built.objective, "reference", None) is not None:
        shard(built.objective.reference.model)
    return built


def held(trainer: Trainer) -> int:
    """Bytes that this process holds of the layers' weights and of the optimiser's state for them."""
    state, weights = trainer.optimizer.state_dict(), trainer.trained
    stepped = sorted(weights, key=lambda name: weights[name].ndim < 2)  # matrices first, as adamw groups them
    kept = [(name, value) for i, name in enumerate(stepped) for value in state["state"][i].values()]
    kept += [*weights.items(), *zip(weights, state.get("masters", ()), strict=False)]
    return sum(part_of(value).nbytes for name, value in kept if ".layers." in name and value.ndim)


def end(trainer: Trainer) -> dict[str, Any]:
    """What training ends with: weights, moments, random state."""
    state = trainer.optimizer.state_dict()
    moments = [full(value) for own in state["state"].values() for value in own.values()]
    return {
        "weights": {name: full(p) for name, p in trainer.trained.items()},
        "moments": [*moments, *map(full, state.get("masters", ()))],
        "rng": torch.get_rng_state(),
        "tokens": trainer.tokens,
        "step": trainer.step,
    }


def trained(case: str, work: Path, *, stop: bool = False) -> dict[str, Any]:
    """Train until the third step (`stop`) or the last: how it ended, and every step's gradient."""
    built = small(case)
    trainer, prepare = built.trainer(work, cut if stop else None), built.objective.prepare
    micros: list[int] = []

    def counted(step: int) -> StepWork:
        prepared: StepWork = prepare(step)
        micros.append(len(prepared.micros))
        return prepared

    built.objective.prepare = counted
    gradients = train(trainer)
    own = {name: part_of(p).clone() for name, p in trainer.trained.items()}
    return {**end(trainer), "gradients": gradients, "micros": micros, "own": own, "held": held(trainer)}


def read() -> dict[str, Any]:
    """What is read with models that are shared out: scores, a loss, samples and what they are worth."""
    objective: PolicyOptimisation = small("rloo").objective
    rollouts = objective.roll_out(1)
    rows = encode_demonstrations(objective.lm, DEMONSTRATIONS[:3], 200)
    scorer = small("reward").objective.scorer
    return {
        "samples": [(s.prompt_ids, s.response_ids, s.text) for s in rollouts.samples],
        "numbers": [rollouts.scores, rollouts.kl, rollouts.paid],
        "scores": [[score.value for score in own] for own in score_comparisons(scorer, COMPARISONS[:3])],
        "one score": spread_over([[2, 50, 60]], len, scorer.score),  # so that the second process has none
        "loss": held_out_loss(objective.lm, rows, 40),
    }


def steps(folder: str) -> None:
    """Every case trained to its end, and some saved; what each process ended up with is written."""
    place = Path(folder)
    for case in (*CASES, NARROW):
        torch.save(trained(case, place / case), place / f"{case}-{rank()}.pt")
    for case, save in SAVED.items():
        built = small(case)
        built.trainer(place / case).run()  # from the checkpoint after the last step
        objective = built.objective
        save(objective.scorer if case == "reward" else objective.lm, place / f"{case}-model", "card")
    torch.save(read(), place / f"read-{rank()}.pt")


def killed_writing(folder: str) -> None:
    """SIGKILL for the second process while it writes its part of the second checkpoint."""
    sync, calls = checkpoint.sync, []

    def dying(path: Path) -> None:
        calls.append(path)
        if len(calls) == 3 and rank() == 1:  # the first checkpoint took two: its file, its folder
            os.kill(os.getpid(), signal.SIGKILL)
        sync(path)

    checkpoint.sync = dying
    small("sft").trainer(Path(folder)).run()


def other_layers(folder: str) -> None:
    """A layer's weight that differs in the second process by what a float cannot show in a printout."""
    built = build("sft", dtype="float64", lora=None)
    if rank() == 1:
        with torch.no_grad():
            built.module.model.layers[1].mlp.up_proj.weight[0, 0] += 1e-12
    shard(built.module)


# what happens to processes in the midst of a step finds the others amid their passes
cut_short, killed, diverging, broken = (
    partial(does, small=small) for does in (ranks.cut_short, ranks.killed, ranks.diverging, ranks.broken)
)
whole = partial(ranks.whole, trained=trained)
