"""Passes side by side train as passes one after another do."""

from unittest.mock import patch

import pytest
import torch
from objectives import ADAPTERS, KINDS, build

from gnomon.models import lanes as own
from gnomon.models.passes import read_each
from gnomon.training import loop, pair_logps


@pytest.fixture(autouse=True)
def two_lanes(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr(own, "WORTH", 0)
    monkeypatch.setattr(own, "SMALL", 1)
    yield
    torch.set_num_threads(before)


def trained(kind, folder, **more):
    built = build(kind, lora=ADAPTERS, optim={"epochs": 2, "micro_tokens": 120}, policy={"steps": 2}, **more)
    trainer = built.trainer(folder)
    trainer.run()
    return {name: weight.detach().clone() for name, weight in trainer.trained.items()}


@pytest.mark.parametrize("kind", [*KINDS, "kto"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_weights_are_those_of_one_pass_after_another_to_the_bit(kind, dtype, tmp_path):
    """Gradients are added in the order of the micro-batches, whichever pass is done first."""
    seen, lanes = [], loop.side_by_side
    with patch.object(loop, "side_by_side", lambda work, passes, n: seen.append(n) or lanes(work, passes, n)):
        found = trained(kind, tmp_path / "side by side", dtype=dtype)
    assert set(seen) == {2}
    in_turn = loop.Trainer._one_by_one

    def on_one_thread(trainer, micros):
        torch.set_num_threads(1)
        passes = in_turn(trainer, micros)
        torch.set_num_threads(2)
        return passes

    with (
        patch.object(loop, "lanes", lambda module: 1),
        patch.object(loop.Trainer, "_one_by_one", on_one_thread),
    ):
        wanted = trained(kind, tmp_path / "in turn", dtype=dtype)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(weight, wanted[name]) for name, weight in found.items())


def test_what_no_pass_uses_has_no_gradient(tmp_path):
    """As after a backward pass: a gradient of zeros would let momentum and decay move it."""
    built = build("sft", lora=ADAPTERS, optim={"epochs": 1})
    unused = torch.nn.Parameter(torch.ones(1))
    built.module.register_parameter("unused", unused)
    trainer = built.trainer(tmp_path)
    trainer._differentiate(built.objective.prepare(0).micros)
    assert unused.grad is None
    assert any(parameter.grad is not None for parameter in trainer.whole)


def test_a_reference_of_its_own_is_cut_and_computed_as_the_policy_trains(monkeypatch):
    """A policy trained in full has one lane, its frozen reference two; how they are cut rounds sums."""
    seen = []

    def watched(model, passes, read, count):
        seen.append(([micro.row_ids for micro in passes], count))
        return read_each(model, passes, read, count)

    monkeypatch.setattr(own, "SMALL", 8)
    monkeypatch.setattr(pair_logps, "read_each", watched)
    objective = build("preference", lora=None, optim={"epochs": 1, "micro_tokens": 400}).objective
    objective.reference.model.requires_grad_(False)
    assert (own.lanes(objective.lm.model), own.lanes(objective.reference.model)) == (1, 2)
    micros = objective.prepare(0).micros
    assert seen == [([micro.row_ids for micro in micros], 1)]
