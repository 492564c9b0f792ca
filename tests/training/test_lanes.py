"""Passes side by side train as passes one after another do."""

from unittest.mock import patch

import pytest
import torch
from objectives import ADAPTERS, KINDS, build

from gnomon.config import LoraSettings
from gnomon.models import lanes as own
from gnomon.models.passes import read_each
from gnomon.training import logps, loop


@pytest.fixture(autouse=True)
def two_lanes(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr(own, "WORTH", 0)
    monkeypatch.setattr(own, "SMALL", 1)
    yield
    torch.set_num_threads(before)


def trained(kind, folder, **more):
    built = build(kind, lora=ADAPTERS, optim={"epochs": 2, "micro_tokens": 400}, policy={"steps": 2}, **more)
    trainer = built.trainer(folder)
    trainer.run()
    return {name: weight.detach().clone() for name, weight in trainer.trained.items()}


@pytest.mark.parametrize("kind", [*KINDS, "kto"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_weights_are_those_of_one_pass_after_another_to_the_bit(kind, dtype, tmp_path):
    """Gradients are added in the order of the micro-batches, whichever pass is done first."""
    seen, lanes = [], loop.side_by_side

    def watched(work, passes, count, alone):
        seen.append(count)
        assert not any(map(alone, passes))
        return lanes(work, passes, count, alone)

    with patch.object(loop, "side_by_side", watched):
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

    def watched(model, passes, read, count, alone):
        seen.append(([micro.row_ids for micro in passes], count))
        return read_each(model, passes, read, count, alone)

    monkeypatch.setattr(own, "SMALL", 8)
    monkeypatch.setattr(logps, "read_each", watched)
    objective = build("preference", lora=None, optim={"epochs": 1, "micro_tokens": 400}).objective
    objective.reference.model.requires_grad_(False)
    assert (own.lanes(objective.lm.model), own.lanes(objective.reference.model)) == (1, 2)
    micros = objective.prepare(0).micros
    assert seen == [([micro.row_ids for micro in micros], 1)]


@pytest.mark.parametrize("loss", ["dpo", "kto"])
def test_a_reference_of_adapters_is_cut_and_computed_as_these_train(loss, monkeypatch):
    """Adapters of more than a part of the weights have one lane, and so has what they are compared with."""
    counts, read = [], logps.read_each
    monkeypatch.setattr(logps, "read_each", lambda *own: counts.append((len(own[1]), own[3])) or read(*own))
    monkeypatch.setattr(own, "SMALL", 8)
    objective = build(
        "preference",
        lora=LoraSettings(rank=16),
        optim={"epochs": 1, "micro_tokens": 400},
        preference={"loss": loss},
    ).objective
    assert own.lanes(objective.lm.model) == 1
    micros = objective.prepare(0).micros
    assert {count for _, count in counts} == {1}
    assert counts[0][0] == len(micros)


@pytest.mark.parametrize("kind", KINDS)
def test_no_pass_changes_the_mode_of_another(kind, tmp_path):
    """Objectives without dropout put the model into evaluation mode, and then back."""
    built = build(kind, lora=ADAPTERS, optim={"epochs": 1, "micro_tokens": 400})
    trainer, loss, modes = built.trainer(tmp_path), built.objective.loss, []

    def watched(micro):
        modes.append(built.module.training)
        return loss(micro)

    micros = built.objective.prepare(0).micros
    assert len(micros) > 1
    built.module.train()
    with patch.object(built.objective, "loss", watched):
        trainer._differentiate(micros)
    assert not any(modes)
    assert built.module.training


def test_a_pass_that_needs_the_room_of_two_goes_alone(tmp_path):
    """Or two rows longer than half of what may be computed at a time would need as much again."""
    built = build("sft", lora=ADAPTERS, optim={"epochs": 1, "micro_tokens": 100})
    trainer, loss, seen = built.trainer(tmp_path), built.objective.loss, []

    def watched(micro):
        seen.append((micro.computed > 50, torch.get_num_threads()))
        return loss(micro)

    micros = built.objective.prepare(0).micros
    assert [micro.computed for micro in micros] == [micro.tensors.rows.input_ids.numel() for micro in micros]
    with patch.object(built.objective, "loss", watched):
        trainer._differentiate(micros)
    assert set(seen) == {(False, 1), (True, 2)}
