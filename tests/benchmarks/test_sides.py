"""Gnomon's side of every workload on the tiny model agrees with plain transformers and takes its steps."""

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from device import on
from gnomon.models.load import load
from sides import gnomon, vllm
from work import TINY, WORKLOADS, standardised, write_job
from worker import Channel, Message, Side, Stopped, Turns, distinct_words, memory, serve

STEPS = 2


class InThread:
    """A side served in a thread of this process."""

    def __init__(self, prepare: Callable[[Message], Side], **settings: Any) -> None:
        self.asked: Queue[Message] = Queue()
        self.answers: Queue[Message] = Queue()
        channel = Channel(self.asked.get, self.answers.put)
        self.thread = threading.Thread(target=serve, args=(channel, prepare), daemon=True)
        self.thread.start()
        self.told = self.ask("prepare", **settings)

    def ask(self, what: str, **more: Any) -> Message:
        self.asked.put({"do": what, **more})
        return self.answers.get(timeout=60)

    def stop(self) -> None:
        self.asked.put({"do": "stop"})
        self.thread.join(timeout=60)
        assert not self.thread.is_alive()


@pytest.fixture(params=WORKLOADS)
def side(
    request: pytest.FixtureRequest, device: torch.device, tmp_path: Path
) -> Iterator[tuple[dict[str, Any], InThread]]:
    job = write_job(tmp_path, request.param, "tiny:0", TINY, STEPS, device.type)
    served = InThread(gnomon.prepare, job=str(tmp_path), threads=torch.get_num_threads())
    assert "error" not in served.told
    yield job, served
    served.stop()


def plain_model(job: dict[str, Any]) -> Any:
    """The model with the saved adapters, by transformers and peft alone."""
    from peft import PeftModel  # noqa: PLC0415

    model = load(job["ref"], dtype="float32", device="cpu").model
    return (
        PeftModel.from_pretrained(model, Path(job["folder"]) / "adapter", is_trainable=True)
        if job["lora"]
        else model
    )


def plain_logp(model: Any, ids: list[int], mask: list[bool]) -> torch.Tensor:
    logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
    logps = torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(ids)[1:, None]).squeeze(1)
    return logps[torch.tensor(mask[1:])].sum()


def norm(model: Any) -> float:
    return float(torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))


def expected_sft(job: dict[str, Any]) -> dict[str, Any]:
    model = plain_model(job)
    rows = [job["rows"][i] for i in job["order"][: TINY.batch]]
    logps = torch.stack([plain_logp(model, list(row["ids"]), list(row["mask"])) for row in rows])
    loss = -logps.sum() / sum(sum(row["mask"][1:]) for row in rows)
    loss.backward()
    return {"logps": logps.tolist(), "loss": loss.item(), "grad_norm": norm(model)}


def expected_dpo(job: dict[str, Any]) -> dict[str, Any]:
    model = plain_model(job)
    rows = [job["rows"][i] for i in job["order"][: TINY.batch]]

    def logps() -> torch.Tensor:
        return torch.stack(
            [
                plain_logp(
                    model,
                    row["prompt_ids"] + row[name],
                    [False] * len(row["prompt_ids"]) + [True] * len(row[name]),
                )
                for row in rows
                for name in ("chosen_ids", "rejected_ids")
            ]
        )

    own = logps()
    with torch.no_grad(), model.disable_adapter():
        reference = logps()
    ratios = (own - reference).view(-1, 2)
    loss = -F.logsigmoid(job["beta"] * (ratios[:, 0] - ratios[:, 1])).mean()
    loss.backward()
    assert abs(loss.item() - math.log(2)) > 1e-4  # at the start every side would agree by itself
    return {"logps": own.tolist(), "loss": loss.item(), "grad_norm": norm(model)}


EXPECTED = {"sft": expected_sft, "dpo": expected_dpo}


def test_it_agrees_with_transformers_and_takes_its_steps(side: tuple[dict[str, Any], InThread]):
    job, served = side
    told = served.ask("compare")
    assert "error" not in told
    if job["kind"] in EXPECTED:
        for what, value in EXPECTED[job["kind"]](job).items():
            assert told[what] == pytest.approx(value, rel=1e-4), what
    for _ in range(STEPS):
        taken = served.ask("step")
        assert taken["seconds"] > 0
        assert taken["units"] > 0
    assert served.ask("memory")["peak"] > 0


def test_pairs_after_a_long_conversation_have_prompts_four_times_as_long(tmp_path: Path):
    lengths = write_job(tmp_path, "dpo_long_prompts", "tiny:0", TINY, STEPS)["lengths"]
    answers = (lengths["chosen"]["mean"] + lengths["rejected"]["mean"]) / 2
    assert 2 < lengths["prompt"]["mean"] / answers < 8


def test_instruction_rows_come_in_the_order_that_gnomon_takes_them(tmp_path: Path):
    job = write_job(tmp_path, "sft_lora", "tiny:0", TINY, STEPS)
    read = json.loads((tmp_path / "job.json").read_text())
    assert read["order"] == job["order"]
    assert sorted(job["order"]) == list(range(TINY.batch * (STEPS + 1)))


def test_advantages_are_standard_scores_of_each_prompt():
    assert standardised([1.0, 3.0]) == pytest.approx([-math.sqrt(0.5), math.sqrt(0.5)], rel=1e-5)
    assert standardised([2.0, 2.0]) == [0.0, 0.0]
    assert distinct_words("to be or not to be") == pytest.approx(4 / 6)


def test_a_step_is_timed_from_the_asking_to_the_next_boundary():
    asked = iter([{"do": "compare"}, {"do": "step"}, {"do": "stop"}])
    sent: list[Message] = []
    side = Side({"compare": lambda: {"loss": 1.0}}, lambda boundary: None, {}, lambda: 7.0, beside=100.0)
    turns = Turns(Channel(lambda: next(asked), sent.append), side)
    turns.boundary()
    assert sent == [{"loss": 1.0}]
    with pytest.raises(Stopped):
        turns.boundary()
    assert sent[1]["units"] == 7.0
    assert 100.0 <= sent[1]["seconds"] < 101.0


def test_a_step_ends_when_the_device_is_done():
    asked = iter([{"do": "step"}, {"do": "stop"}])
    sent: list[Message] = []
    side = Side({}, lambda boundary: None, {}, lambda: 1.0, finish=lambda: time.sleep(0.05))
    turns = Turns(Channel(lambda: next(asked), sent.append), side)
    turns.boundary()
    with pytest.raises(Stopped):
        turns.boundary()
    assert sent[0]["seconds"] >= 0.05


def test_a_gpu_is_waited_for_and_counts_its_own_memory():
    there, here = (on(device, Side({}, lambda boundary: None, {}, lambda: 1.0)) for device in ("cuda", "cpu"))
    assert there.finish is torch.cuda.synchronize
    assert set(there.answers) == {"memory"}
    assert here.finish is not torch.cuda.synchronize
    assert not here.answers


def test_what_goes_wrong_in_a_side_is_told():
    def broken(message: Message) -> Side:
        raise ValueError("no such model")

    assert InThread(broken).told == {"error": "ValueError: no such model"}


def test_memory_counts_the_most_since_it_was_asked():
    memory()
    before = memory()["peak"]
    held = b"x" * (64 << 20)
    del held
    assert memory()["peak"] - before > 60 << 20
    assert memory()["peak"] - before < 30 << 20


def test_of_a_row_that_vllm_read_the_samples_log_probs_count():
    told = [None, {5: -1.0, 9: -7.0}, {6: -2.0}, {7: -4.0}]
    logprobs = [of and {token: SimpleNamespace(logprob=value) for token, value in of.items()} for of in told]
    row = SimpleNamespace(prompt_token_ids=[2, 5, 6, 7], prompt_logprobs=logprobs)
    assert vllm.summed(row, [6, 7]) == -6.0
    assert vllm.summed(row, [5, 6, 7]) == -7.0
