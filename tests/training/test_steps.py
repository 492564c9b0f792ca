"""However a step's rows are cut into micro-batches, the step is the same."""

import json

import pytest
import torch
from objectives import KINDS, OFFLINE, build
from torch.testing import assert_close

from gnomon.config import LoraSettings
from gnomon.kernels import batching

CUTS = (1, 150, 100_000)
"""micro_tokens: eight micro-batches of one row, some of some rows, one of eight."""


CASES = [(kind, "rloo") for kind in (*KINDS, *OFFLINE)] + [("policy", "grpo"), ("policy", "dr_grpo")]


def after_two_steps(case, tmp_path, lora, micro_tokens):
    kind, algorithm = case
    cuts = []
    built = build(
        kind,
        dtype="float64",
        lora=lora,
        optim={"micro_tokens": micro_tokens, "lr": 1e-3, "epochs": 2},
        policy={"steps": 2, "beta": 0.1, "algorithm": algorithm},
    )
    prepare = built.objective.prepare

    def counting(step):
        work = prepare(step)
        cuts.append([len(micro.row_ids) for micro in work.micros])
        return work

    built.objective.prepare = counting
    trainer = built.trainer(tmp_path / f"{micro_tokens}")
    trainer.run()
    rows = trainer.metrics.path.read_text()
    return {n: p.detach() for n, p in trainer.trained.items()}, cuts, rows


@pytest.mark.usefixtures("float64_throughout")
@pytest.mark.parametrize("lora", [LoraSettings(rank=2), None], ids=["adapters", "full"])
@pytest.mark.parametrize("case", CASES, ids="-".join)
@pytest.mark.mistake("short-batches-weigh-more")
def test_parameters_do_not_depend_on_the_cut(case, lora, tmp_path, monkeypatch):
    monkeypatch.setattr(batching, "SLACK", 1.0)  # ragged rows in one micro-batch too, for the test's sake
    results = {size: after_two_steps(case, tmp_path, lora, size) for size in CUTS}
    for parameters, cuts, _ in results.values():
        assert [sum(cut) for cut in cuts] == [8, 8]
        for name, parameter in parameters.items():
            assert_close(parameter, results[1][0][name], rtol=1e-9, atol=1e-11)
    single, some, whole = ({len(cut) for cut in cuts} for _, cuts, _ in results.values())
    assert (single, whole) == ({8}, {1})
    assert all(1 < count < 8 for count in some)
    start = dict(build(case[0], dtype="float64", lora=lora).module.named_parameters())
    moved = [float((p - start[n].detach()).abs().max()) for n, p in results[1][0].items()]
    assert max(moved) > 1e-4


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_neither_do_loss_and_metrics(case, tmp_path):
    results = []
    for size in CUTS:
        _, _, rows = after_two_steps(case, tmp_path, LoraSettings(rank=2), size)
        results.append([json.loads(row) for row in rows.splitlines()])
        for row in results[-1]:
            del row["seconds"]
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-6)


def test_nothing_else_is_in_the_gradient(tmp_path):
    """A frozen weight stays frozen: adapters alone move, and the reference beside them does not."""
    built = build("policy")
    before = {n: p.detach().clone() for n, p in built.module.named_parameters()}
    built.trainer(tmp_path).run()
    moved = {n for n, p in built.module.named_parameters() if not torch.equal(p, before[n])}
    assert moved
    assert all(".default." in name for name in moved)
