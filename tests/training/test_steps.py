"""However a step's rows are cut into micro-batches, the step is the same."""

import json
from dataclasses import replace

import pytest
import torch
from objectives import DEMONSTRATIONS, KINDS, OFFLINE, build
from policies import with_critic
from torch.testing import assert_close

from gnomon.config import LoraSettings, RewardSettings
from gnomon.kernels import batching
from gnomon.records import Comparison, Label
from gnomon.training.pairs import encode_comparisons
from gnomon.training.reward import RewardModelling

CUTS = (1, 150, 100_000)
"""micro_tokens: micro-batches of one row (or pair, or ranking), of some, of all."""
SEVERAL = ("grpo", "dapo", "ppo")
"""Two updates on one batch of samples, by their ratios; the others have one on each of two batches."""
ALGORITHMS = ("rloo", "grpo", "dr_grpo", "dapo", "reinforce_pp", "raft", "ppo")
CASES = [(kind, "") for kind in (*KINDS[:3], *OFFLINE)] + [("reward", "rankings")]
CASES += [("policy", algorithm) for algorithm in ALGORITHMS] + [("policy", "grpo, once")]
ROWS = {"raft": 4, "rankings": 16}
"""What a step learns from: eight rows or pairs, but of raft the best samples of four prompts, and of rankings
all pairs of four and four pairs by themselves."""


def called(case):
    return " ".join(case).strip()


def finely(samples):
    """No two samples are paid the same."""
    return [sum(s.response_ids) / len(s.response_ids) / 259 for s in samples]


def ranked():
    """Every other prompt has three answers in an order, the others two."""
    rows = []
    for i, row in enumerate(DEMONSTRATIONS):
        answers = (row.response, "No.", "I would not know, I am afraid.")
        pairs = [(0, 1), (0, 2), (1, 2)] if i % 2 else [(0, 2)]
        more = {"ranking": f"r{i}", "weight": 2 / 3} if i % 2 else {}
        rows += [
            Comparison.of(f"{i}/{a}-{b}", row.prompt, answers[a], answers[b], Label(1.0, "person", **more))
            for a, b in pairs
        ]
    return rows


def made(case, lora, micro_tokens):
    kind, form = case
    algorithm = form.removesuffix(", once") or "rloo"
    steps, epochs = (1, 2) if form in SEVERAL else (2, 1)
    built = build(
        kind,
        dtype="float64",
        lora=lora,
        optim={"micro_tokens": micro_tokens, "lr": 1e-3, "epochs": 2},
        policy={"steps": steps, "epochs": epochs, "beta": 0.1, "algorithm": algorithm},
        reward=finely,
    )
    if form == "rankings":
        data = encode_comparisons(built.objective.scorer.lm, ranked(), 200)
        settings = RewardSettings(optim=built.settings, batching="rankings")
        objective = RewardModelling(built.objective.scorer, data, settings, seed=0)
        assert sum(len(unit.orders) for unit in objective.units) == 4
        return replace(built, objective=objective)
    return with_critic(built, dtype="float64") if form == "ppo" else built


def after_two_steps(case, tmp_path, lora, micro_tokens):
    cuts = []
    built = made(case, lora, micro_tokens)
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
@pytest.mark.parametrize("case", CASES, ids=called)
@pytest.mark.mistake("short-batches-weigh-more")
def test_parameters_do_not_depend_on_the_cut(case, lora, tmp_path, monkeypatch):
    monkeypatch.setattr(batching, "SLACK", 1.0)  # ragged rows in one micro-batch too, for the test's sake
    results = {size: after_two_steps(case, tmp_path, lora, size) for size in CUTS}
    for parameters, cuts, _ in results.values():
        assert [sum(cut) for cut in cuts] == [ROWS.get(case[1], 8)] * 2
        for name, parameter in parameters.items():
            assert_close(parameter, results[1][0][name], rtol=1e-9, atol=1e-11)
    single, some, whole = ({len(cut) for cut in cuts} for _, cuts, _ in results.values())
    most = 4 if case[1] == "raft" else 8
    assert (single, whole) == ({most}, {1})
    assert all(1 < count < most for count in some)
    start = dict(made(case, lora, 1).module.named_parameters())
    moved = [float((p - start[n].detach()).abs().max()) for n, p in results[1][0].items()]
    assert max(moved) > 1e-4


@pytest.mark.parametrize("case", CASES, ids=called)
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
