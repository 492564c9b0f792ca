import json
import math
import os
import signal
import threading
import time

import pytest
import torch
from objectives import build
from torch import nn

from gnomon.errors import DivergenceError, StorageError
from gnomon.runs import MetricsLog
from gnomon.settings.base import AdamSettings, OptimSettings
from gnomon.training.loop import Evaluation, Trainer, TrainResult
from gnomon.training.objective import Micro, StepWork


class Numbers:
    """Fits one weight to 1 and 3 by squares: two micro-batches of one number each."""

    def __init__(self, weight, steps=4, stop_at=None, spoil=lambda loss, number: loss):
        self.weight, self.steps, self.stop_at, self.spoil = weight, steps, stop_at, spoil

    def prepare(self, step):
        micros = [Micro((f"row-{number}",), torch.tensor(number), 5) for number in (1.0, 3.0)]
        return StepWork(micros, {"half": step / 2}, "enough" if step == self.stop_at else None)

    def loss(self, micro):
        loss = (self.weight - micro.tensors).square().sum() / 2
        return self.spoil(loss, float(micro.tensors)), {"seen": 1.0}

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def trainer(tmp_path, *, progress=None, weight=0.0, optim=None, evaluation=None, **objective):
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, weight)
    settings = OptimSettings(
        **({"lr": 0.1, "warmup": 0.0, "schedule": "linear", "checkpoint_every": 2} | (optim or {}))
    )
    metrics = MetricsLog(tmp_path / "log" / "metrics.jsonl")
    more = {"evaluation": evaluation} | ({} if progress is None else {"progress": progress})
    return Trainer(
        module, Numbers(module.weight, **objective), settings, work=tmp_path / "work", metrics=metrics, **more
    )


def rows(it):
    return [json.loads(line) for line in it.metrics.path.read_text().splitlines()]


def checkpoints(tmp_path):
    return sorted(path.name for path in (tmp_path / "work").glob("checkpoint*"))


def test_memory_goes_back_before_a_pass_that_is_larger_than_all_before_it(tmp_path, monkeypatch):
    it, events = trainer(tmp_path, steps=3), []
    sizes = {0: (5, 7), 1: (7, 6), 2: (6, 9)}
    it.objective.prepare = lambda step: StepWork(
        [Micro(("row",), torch.tensor(1.0), tokens) for tokens in sizes[step]], {}
    )
    loss = it.objective.loss
    it.objective.loss = lambda micro: events.append(micro.tokens) or loss(micro)
    monkeypatch.setattr("gnomon.training.loop.release", lambda: events.append("room"))
    it.run()
    assert events == ["room", 5, "room", 7, 7, 6, 6, "room", 9]


def interrupting(number, at=3, times=1):
    def progress(done, total, note):
        if done == at:
            for _ in range(times):
                os.kill(os.getpid(), number)

    return progress


def test_what_a_step_logs(tmp_path):
    """Losses and metrics are sums over micro-batches; the norm is that of the summed gradient, unclipped."""
    it = trainer(tmp_path)
    result = it.run()
    assert result == TrainResult(steps=4, tokens=40, stopped_for=None)
    first = rows(it)[0]
    assert first.pop("seconds") >= 0
    # (0-1)^2/2 + (0-3)^2/2; gradient -1 - 3
    assert first == {
        "step": 1,
        "loss": 5.0,
        "seen": 2.0,
        "half": 0.0,
        "grad_norm": 4.0,
        "lr": 0.1,
        "tokens": 10,
    }
    assert rows(it)[1]["grad_norm"] == pytest.approx(3.8, abs=1e-3)  # from 0.1, of this step alone
    assert [row["lr"] for row in rows(it)] == pytest.approx([0.1, 0.075, 0.05, 0.025])
    assert it.module.weight.item() == pytest.approx(
        0.25, abs=0.01
    )  # Adam moves by the rate while signs agree


def test_progress_is_told_after_every_step(tmp_path):
    told = []
    trainer(tmp_path, progress=lambda *what: told.append(what)).run()
    assert [(done, total) for done, total, _ in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told[0][2] == "loss 5.000"


def test_gradients_are_clipped_together(tmp_path):
    """The first moment is a tenth of the clipped gradient: 0.5 of -4."""
    it = trainer(tmp_path, optim={"max_grad_norm": 0.5}, steps=1)
    it.run()
    moment = it.optimizer.state[it.module.weight]["exp_avg"].item()
    assert moment == pytest.approx(-0.05, rel=1e-4)
    assert rows(it)[0]["grad_norm"] == 4.0


class Pulls(Numbers):
    """A policy's weight is pulled by 3, a critic's two by 30 and 40."""

    def loss(self, micro):
        pulled = 3 * self.weight["policy"].weight.sum()
        pulled = pulled + (self.weight["critic"].weight * torch.tensor([30.0, 40.0])).sum()
        return pulled * micro.tensors / 4, {}


def test_parts_with_settings_of_their_own_are_clipped_each_by_itself(tmp_path):
    """Each first moment is a tenth of the part's own gradient, cut from 3 to 0.5 and from 50 to 10."""
    module = nn.ModuleDict({"policy": nn.Linear(1, 1, bias=False), "critic": nn.Linear(2, 1, bias=False)})
    metrics = MetricsLog(tmp_path / "metrics.jsonl")
    settings = OptimSettings(max_grad_norm=0.5)
    it = Trainer(module, Pulls(module, steps=1), settings, work=tmp_path / "work", metrics=metrics)
    it.apart("critic.", AdamSettings(max_grad_norm=10))
    it.run()
    policy, critic = (it.optimizer.state[module[name].weight]["exp_avg"] for name in ("policy", "critic"))
    assert policy.flatten().tolist() == pytest.approx([0.05], rel=1e-4)
    assert critic.flatten().tolist() == pytest.approx([0.6, 0.8], rel=1e-4)
    assert rows(it)[0]["grad_norm"] == pytest.approx(math.hypot(3, 50), rel=1e-6)


def test_only_what_requires_a_gradient_is_optimised_and_saved(tmp_path):
    it = trainer(tmp_path)
    module = nn.ModuleDict(
        {"trained": it.module, "frozen": nn.Linear(1, 1).requires_grad_(requires_grad=False)}
    )
    whole = Trainer(module, it.objective, it.settings, work=it.work, metrics=it.metrics)
    whole.run()
    (group,) = whole.optimizer.param_groups
    assert group["params"] == [it.module.weight]
    saved = torch.load(tmp_path / "work" / "checkpoint-00000004.pt", weights_only=True)
    assert list(saved["trained"]) == ["trained.weight"]


def test_an_objective_may_stop_before_a_step(tmp_path):
    it = trainer(tmp_path, stop_at=3)
    assert it.run() == TrainResult(3, 30, "enough")
    assert len(rows(it)) == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_names_its_rows_and_saves_the_batch(tmp_path, value):
    def spoil(loss, number):
        return loss * value if number == 3.0 else loss

    it = trainer(tmp_path, spoil=spoil)
    with pytest.raises(
        DivergenceError, match=r"step 0: loss is (nan|inf), on rows row-3.0; the batch is in "
    ) as told:
        it.run()
    path = tmp_path / "work" / "diverged-at-step-0.pt"
    assert str(path) in str(told.value)
    saved = torch.load(path, weights_only=False)
    assert saved == {"row_ids": ["row-3.0"], "tensors": [torch.tensor(3.0)]}
    assert it.module.weight.item() == 0.0


def test_a_gradient_that_is_not_finite_stops_and_names_every_row_of_the_step(tmp_path):
    it = trainer(
        tmp_path, spoil=lambda loss, number: loss - loss.detach() + (loss - loss.detach()).abs().sqrt()
    )
    with pytest.raises(
        DivergenceError, match=r"step 0: gradient norm is nan, on rows row-1.0, row-3.0; the batch"
    ):
        it.run()
    assert torch.load(tmp_path / "work" / "diverged-at-step-0.pt", weights_only=False)["row_ids"] == [
        "row-1.0",
        "row-3.0",
    ]
    assert it.module.weight.item() == 0.0


def test_only_the_row_that_went_wrong_is_named(tmp_path):
    """A real model: one token's embedding is not finite, and one pair of eight holds it."""
    built = build("reward", lora=None, optim={"micro_tokens": 1})
    with torch.no_grad():
        token = built.objective.scorer.lm.tokenizer.encode("F", add_special_tokens=False)[0]
        built.objective.scorer.lm.model.get_input_embeddings().weight[token] = float("nan")
    with pytest.raises(DivergenceError, match=r"on rows c5; the batch is in"):
        built.trainer(tmp_path).run()
    saved = torch.load(tmp_path / "diverged-at-step-0.pt", weights_only=False)
    assert saved["row_ids"] == ["c5"]
    assert bool((saved["tensors"][0][0].input_ids == token).any())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interruption_waits_for_the_step_and_its_checkpoint(tmp_path, number):
    before = signal.getsignal(number)
    it = trainer(tmp_path, progress=interrupting(number))
    with pytest.raises(KeyboardInterrupt):
        it.run()
    assert it.step == 3
    assert checkpoints(tmp_path)[-1] == "checkpoint-00000003.pt"
    assert signal.getsignal(number) is before
    again = trainer(tmp_path, weight=77.0)
    assert again.run() == TrainResult(4, 40, None)
    assert [row["step"] for row in rows(again)] == [1, 2, 3, 4]


def test_a_second_interruption_acts_at_once(tmp_path):
    it = trainer(tmp_path, progress=interrupting(signal.SIGINT, times=2))
    with pytest.raises(KeyboardInterrupt):
        it.run()
    assert checkpoints(tmp_path) == ["checkpoint-00000002.pt"]


def test_outside_the_main_thread_signals_are_left_alone(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    it = trainer(tmp_path)
    thread = threading.Thread(target=it.run)
    thread.start()
    thread.join()
    assert it.step == 4
    assert signal.getsignal(signal.SIGTERM) is before


def test_checkpoints_come_as_often_as_set(tmp_path):
    trainer(tmp_path, steps=7, optim={"checkpoint_every": 3}).run()
    assert checkpoints(tmp_path) == ["checkpoint-00000006.pt", "checkpoint-00000007.pt"]  # and at the end


def test_a_damaged_newest_checkpoint_is_passed_over_with_a_warning(tmp_path):
    trainer(tmp_path, steps=4).run()
    newest = tmp_path / "work" / "checkpoint-00000004.pt"
    newest.write_bytes(newest.read_bytes()[:200])
    again = trainer(tmp_path, steps=4, weight=77.0)
    assert again.run() == TrainResult(4, 40, None)
    assert len(again.warnings) == 1
    assert "checkpoint-00000004.pt is damaged" in again.warnings[0]
    assert [row["step"] for row in rows(again)] == [1, 2, 3, 4]


def test_what_was_finished_is_not_trained_again(tmp_path):
    trainer(tmp_path).run()
    told = []
    assert trainer(tmp_path, progress=lambda *what: told.append(what)).run() == TrainResult(4, 40, None)
    assert told == []


def test_held_out_rows_are_measured_every_so_many_steps_and_after_the_last(tmp_path):
    """After the update of the step it is logged with; a run that goes on measures at the same steps."""
    asked = []

    def measure(step):
        asked.append(step)
        return {"eval/weight": it.module.weight.item()}

    it = trainer(tmp_path, steps=5, optim={"schedule": "constant"}, evaluation=Evaluation(2, measure))
    it.run()
    assert asked == [2, 4, 5]
    found = [row.get("eval/weight") for row in rows(it)]
    assert found == [
        None,
        pytest.approx(0.2, abs=1e-3),
        None,
        pytest.approx(0.4, abs=1e-3),
        it.module.weight.item(),
    ]


def climbing(weights):
    """A measurement whose figure is how near the weight is to 0.25: it passes there on its way to 2."""
    return lambda step: {"eval/near": -abs(weights().item() - 0.25)}


def best_of(tmp_path, *, progress=None, **more):
    """Six steps of about 0.1 each, of which the second or third is the best."""
    own = {"steps": 6, "optim": {"schedule": "constant", "checkpoint_every": 4}, "progress": progress}
    it = trainer(tmp_path, **(own | more))
    it.evaluation = Evaluation(1, climbing(lambda: it.module.weight), first=True, best="eval/near")
    return it


def test_what_is_measured_before_any_step_is_logged_as_step_0(tmp_path):
    it = best_of(tmp_path)
    it.run()
    found = rows(it)
    assert [row["step"] for row in found] == list(range(7))
    assert found[0] == {"step": 0, "eval/near": -0.25}


@pytest.mark.mistake("the-last-taken-for-the-best")
def test_the_weights_of_the_best_figure_are_left(tmp_path):
    """Its checkpoint is kept beside the newest two, however old it is."""
    it = best_of(tmp_path)
    result = it.run()
    nears = [row["eval/near"] for row in rows(it)]
    best = nears.index(max(nears))
    assert 0 < best < 4
    assert (result.steps, result.kept) == (6, best)
    assert -abs(it.module.weight.item() - 0.25) == pytest.approx(max(nears), abs=1e-7)
    assert f"checkpoint-{best:08d}.pt" in checkpoints(tmp_path)
    assert len(checkpoints(tmp_path)) <= 3


def test_where_nothing_gets_better_the_start_is_left(tmp_path):
    it = trainer(tmp_path, weight=0.25, steps=6, optim={"schedule": "constant"})
    it.evaluation = Evaluation(2, climbing(lambda: it.module.weight), first=True, best="eval/near")
    assert it.run().kept == 0
    assert it.module.weight.item() == 0.25


def test_of_equals_the_earliest_is_the_best(tmp_path):
    it = trainer(tmp_path, evaluation=Evaluation(1, lambda step: {"eval/same": 1.0}, best="eval/same"))
    assert it.run().kept == 1


@pytest.mark.parametrize("at", [1, 2, 3, 5, 6])
def test_a_run_that_was_cut_leaves_the_same_best(tmp_path, at):
    whole = best_of(tmp_path / "whole")
    result = whole.run()
    with pytest.raises(KeyboardInterrupt):
        best_of(tmp_path / "cut", progress=interrupting(signal.SIGTERM, at=at)).run()
    again = best_of(tmp_path / "cut", weight=77.0)
    assert again.run() == result
    assert again.module.weight.item() == whole.module.weight.item()
    assert [row["eval/near"] for row in rows(again)] == [row["eval/near"] for row in rows(whole)]


def test_the_best_that_an_older_checkpoint_knows_is_there_if_the_newest_is_damaged(tmp_path):
    """The newest checkpoint was the best so far; the one before it goes back to the best of its time."""
    figures = [0.0, 5.0, 1.0, 2.0, 6.0, 3.0, 3.0]
    measured = Evaluation(1, lambda step: {"eval/x": figures[step]}, best="eval/x")
    with pytest.raises(KeyboardInterrupt):
        trainer(
            tmp_path, steps=6, optim={"checkpoint_every": 1}, evaluation=measured,
            progress=interrupting(signal.SIGTERM, at=4),
        ).run()  # fmt: skip
    assert checkpoints(tmp_path) == [f"checkpoint-0000000{step}.pt" for step in (1, 3, 4)]
    (tmp_path / "work" / "checkpoint-00000004.pt").write_bytes(b"")
    figures[4] = 4.0
    again = trainer(tmp_path, steps=6, optim={"checkpoint_every": 1}, evaluation=measured)
    assert again.run().kept == 1


def test_a_checkpoint_that_cannot_be_written_stops_training(tmp_path):
    """It is told at a step soon after, not by the next checkpoint."""
    (tmp_path / "work").write_text("in the way")
    it = trainer(
        tmp_path,
        steps=120,
        optim={"checkpoint_every": 40},
        progress=lambda done, total, note: time.sleep(0.005),
    )
    with pytest.raises(StorageError, match="work"):
        it.run()
    assert 40 <= it.step < 80
