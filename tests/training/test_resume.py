"""Interrupted and continued is, bit by bit, never interrupted."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from guarded import guarded
from objectives import KINDS, build
from policies import full

from gnomon.config import LoraSettings

DROPOUT = LoraSettings(rank=2, dropout=0.2)
EVERY = (*KINDS, "kto", "orpo", "ld_dpo", "ppo", "guarded")
"""And losses of preferences that remember more, or nothing, of a reference; and a policy that is watched."""
KILLED = """
import os, signal, sys
from pathlib import Path
import test_resume
def progress(done, total, note):
    if done == 5:
        os.kill(os.getpid(), signal.SIGKILL)
test_resume.small(sys.argv[1]).trainer(Path(sys.argv[2]), progress).run()
"""


class CutError(Exception):
    """The machine was taken away."""


def small(kind):
    """Six steps of half the rows, dropout on: order, random state and moments all matter.

    Of ppo two batches of three updates each: it is cut amid both, and every weight that adapts does.
    """
    if kind == "ppo":
        torch.manual_seed(5)
        return full(steps=2, epochs=3, minibatches=1, optim={"checkpoint_every": 2})
    if kind == "guarded":
        torch.manual_seed(5)
        return guarded(steps=6, samples=2, best="eval/reward/second", optim={"batch_size": 4, "lr": 1e-2})
    epochs = 3 if kind != "policy" else 1
    torch.manual_seed(5)
    return build(kind, lora=DROPOUT, optim={"batch_size": 4, "epochs": epochs, "micro_tokens": 160})


def cut(done, total, note):
    if done == 3:
        raise CutError


def terminated(done, total, note):
    if done == 3:
        os.kill(os.getpid(), signal.SIGTERM)


def plain(value):
    """The same with tensors as lists."""
    match value:
        case dict():
            return {name: plain(own) for name, own in value.items()}
        case list() | tuple():
            return [plain(own) for own in value]
        case torch.Tensor():
            return value.tolist()
    return value


def state(trainer, folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    rows = [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]
    weights = {name: p.detach().clone() for name, p in trainer.trained.items()}
    moments = trainer.optimizer.state_dict()["state"]
    own = plain(trainer.objective.state_dict())
    return weights, moments, rows, own, trainer.tokens, torch.get_rng_state()


def same(ours, theirs):
    assert ours[0].keys() == theirs[0].keys()
    assert all(torch.equal(value, theirs[0][name]) for name, value in ours[0].items())
    for index, moment in ours[1].items():
        assert all(torch.equal(value, theirs[1][index][name]) for name, value in moment.items())
    assert (ours[2], ours[4]) == (theirs[2], theirs[4])
    assert ours[3] == theirs[3]
    assert torch.equal(ours[5], theirs[5])


def newest(folder):
    """After how many steps the newest checkpoint in a folder was written, 0 where there is none."""
    return max((int(path.stem.split("-")[1]) for path in folder.glob("checkpoint-*.pt")), default=0)


def uninterrupted(kind, folder):
    trainer = small(kind).trainer(folder)
    assert trainer.run().steps == 6
    return state(trainer, folder)


def resumed(kind, folder, *steps, damaged=0):
    """Another process: whatever the random state was, it is now that of a checkpoint after one of `steps`: of
    the newest, but for those that are `damaged`."""
    built, left = small(kind), newest(folder)
    torch.manual_seed(99)
    taken = []
    trainer = built.trainer(folder, lambda done, total, note: taken.append(done))
    assert trainer.run().steps == 6
    assert taken in [list(range(step + 1, 7)) for step in steps]
    assert len(trainer.warnings) == damaged
    assert damaged or taken[0] == left + 1
    return state(trainer, folder)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.mistake("resume-differs")
def test_cut_between_checkpoints(kind, tmp_path):
    """Step 3 was taken and logged and is lost: it is taken again from the checkpoint after step 2."""
    whole = uninterrupted(kind, tmp_path / "whole")
    with pytest.raises(CutError):
        small(kind).trainer(tmp_path / "cut", cut).run()
    same(resumed(kind, tmp_path / "cut", 2), whole)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.mistake("resume-differs")
def test_terminated_by_a_signal(kind, tmp_path):
    whole = uninterrupted(kind, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        small(kind).trainer(tmp_path / "cut", terminated).run()
    same(resumed(kind, tmp_path / "cut", 3), whole)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.mistake("resume-differs")
def test_cut_with_the_newest_checkpoint_damaged(kind, tmp_path):
    whole = uninterrupted(kind, tmp_path / "whole")
    folder = tmp_path / "whole"
    newest = folder / "checkpoint-00000006.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    same(resumed(kind, folder, 4, 5, damaged=1), whole)  # 5 was written where it was the best


@pytest.mark.mistake("resume-differs")
def test_killed_outright(tmp_path):
    """SIGKILL in a process of its own, after step 5: nothing is told, nothing is cleaned up, and the
    checkpoint after step 4 may not be written yet."""
    whole = uninterrupted("policy", tmp_path / "whole")
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, "policy", str(tmp_path / "cut")],
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    same(resumed("policy", tmp_path / "cut", 2, 4), whole)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.mistake("resume-differs")
def test_killed_twenty_times_in_a_row(kind, tmp_path):
    """While all is loaded, amid steps and checkpoints: nothing is lost, nothing is done twice, and every life
    finds the newest checkpoint whole."""
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), *sys.path])
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, str(here / "lives.py"), kind, str(tmp_path)], env=env, check=True)
    whole, cut = (torch.load(tmp_path / name / "end.pt") for name in ("whole", "cut"))
    assert len(whole[2]) == 80
    same(cut, whole)


def test_the_test_can_see_dropout(tmp_path):
    """With another random state the weights differ, so the random state is really restored above."""
    ends = []
    for seed in (1, 2):
        built = small("sft")
        torch.manual_seed(seed)
        trainer = built.trainer(tmp_path / str(seed))
        trainer.run()
        ends.append(state(trainer, tmp_path / str(seed))[0])
    assert any(not torch.equal(value, ends[1][name]) for name, value in ends[0].items())
