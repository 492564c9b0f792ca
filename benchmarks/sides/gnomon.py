"""Gnomon's side: its own loop and objectives, as `gnomon train` and `gnomon run` drive them."""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from device import loaded, on
from gnomon.config import LoraSettings, RewardSettings
from gnomon.kernels.allocator import settle
from gnomon.losses.kl import k3
from gnomon.models.load import LanguageModel, load
from gnomon.models.logps import sequence_logps
from gnomon.models.lora import add_lora, freeze_reference
from gnomon.models.reward_model import RewardModel, Scorer
from gnomon.pipeline.lineage import software
from gnomon.records import Conversation, EncodedRow
from gnomon.rollouts.engine import Sample, Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.runs import MetricsLog
from gnomon.settings.base import OptimSettings
from gnomon.settings.policy import PolicySettings
from gnomon.settings.preference import PreferenceSettings
from gnomon.training.loop import Trainer
from gnomon.training.objective import Figures, Micro, StepWork
from gnomon.training.pairs import EncodedPair, EncodedPairs
from gnomon.training.policy import PolicyOptimisation, PolicyPrompts, Rollouts
from gnomon.training.preference import PreferenceOptimisation
from gnomon.training.reward import RewardModelling
from gnomon.training.sft import EncodedRows, InstructionTuning
from work import encoded
from worker import Message, Side, distinct_words, mean_size, serve, stdio

Job = dict[str, Any]
HEAD = "score_head.safetensors"


@dataclass
class Stepped:
    """An objective that stands still before each step until it is asked for, and counts its units."""

    objective: Any
    job: Job
    boundary: Callable[[], None] = lambda: None
    count: float = 0.0

    @property
    def steps(self) -> int:
        return int(self.objective.steps)

    def prepare(self, step: int) -> StepWork:
        self.boundary()
        work: StepWork = self.objective.prepare(step)
        size, kind = self.job["size"], self.job["kind"]
        if kind == "sft":
            self.count = sum(micro.tokens for micro in work.micros)
        else:
            self.count = size["prompts"] * size["samples"] if kind == "policy" else size["batch"]
        return work

    def loss(self, micro: Micro) -> tuple[Tensor, Figures]:
        found: tuple[Tensor, Figures] = self.objective.loss(micro)
        return found

    def state_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = self.objective.state_dict()
        return found

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.objective.load_state_dict(state)


def prepare(message: Message) -> Side:
    """Load the model, put on adapters that are away from their start, and build what will be timed."""
    settle()
    torch.set_num_threads(message["threads"])
    job = json.loads((Path(message["job"]) / "job.json").read_text())
    lm = load(job["ref"], dtype=job["dtype"], device=job["device"])
    if job["lora"]:
        lm = with_adapters(lm, job)
    sum(float(p.detach().sum()) for p in lm.model.parameters())  # weights are read from the disk when touched
    told = {"loaded": loaded(job["device"]), "software": software()}
    side = sampling_side(lm, job, told) if job["kind"] == "sampling" else training_side(lm, job, told)
    return on(job["device"], side)


def with_adapters(lm: LanguageModel, job: Job) -> LanguageModel:
    """Trained adapters over a frozen reference that changes nothing; saved for the other sides at first."""
    settings = LoraSettings(rank=job["lora"]["rank"], alpha=job["lora"]["alpha"])
    lm = add_lora(lm, settings, job["seed"])
    if job["kind"] in ("dpo", "policy"):
        freeze_reference(lm.model)
    generator = torch.Generator().manual_seed(job["seed"])
    with torch.no_grad():
        for name, parameter in lm.model.named_parameters():
            if "lora_B.default" in name:
                parameter.copy_(0.01 * torch.randn(parameter.shape, generator=generator))
    folder = Path(job["folder"]) / "adapter"
    if not folder.exists():
        lm.model.save_pretrained(folder, selected_adapters=["default"], save_embedding_layers=False)
        width = lm.model.config.get_text_config().hidden_size
        head = torch.randn(1, width, generator=generator) * (width + 1) ** -0.5
        save_file({"weight": head.to(lm.model.dtype).float()}, folder / HEAD)
    return lm


def training_side(lm: LanguageModel, job: Job, told: Message) -> Side:
    build = {"sft": sft, "reward": reward, "dpo": dpo, "policy": policy}[job["kind"]]
    module, objective, optim, compare = build(lm, job)
    work = Path(tempfile.mkdtemp(dir=job["folder"]))
    stepped = Stepped(objective, job)
    log = MetricsLog(work / "metrics.jsonl")

    def run(boundary: Callable[[], None]) -> None:
        stepped.boundary = boundary
        Trainer(module, stepped, optim, work=work, metrics=log).run()

    return Side({"compare": compare}, run, told, lambda: stepped.count)


Built = tuple[torch.nn.Module, Any, OptimSettings, Callable[[], Message]]


def optim(job: Job, batch: int) -> OptimSettings:
    return OptimSettings(
        lr=job["lr"], batch_size=batch, epochs=1, schedule="constant", warmup=0, checkpoint_every=10**6
    )


def sft(lm: LanguageModel, job: Job) -> Built:
    rows = tuple(encoded(row) for row in job["rows"])
    settings = optim(job, job["size"]["batch"])
    data = EncodedRows(tuple(map(str, range(len(rows)))), rows)
    objective = InstructionTuning(lm, data, settings, job["seed"])

    def compare() -> Message:
        chosen = [rows[i] for i in objective.order.at(0)]
        sums = row_logps(lm, chosen)
        return {"logps": sums, **loss_and_norm(lm.model, objective)}

    return lm.model, objective, settings, compare


def reward(lm: LanguageModel, job: Job) -> Built:
    settings = RewardSettings(optim=optim(job, job["size"]["batch"]), centring=0.0)
    model = RewardModel(lm)
    with torch.no_grad():
        model.score.weight.copy_(load_file(Path(job["folder"]) / "adapter" / HEAD)["weight"])
    scorer = Scorer(lm, model)
    data = pairs(job)
    objective = RewardModelling(scorer, data, settings, job["seed"])

    def compare() -> Message:
        chosen = [data.pairs[i] for i in objective.order.at(0)]
        scores = scorer.score([row.ids for pair in chosen for row in (pair.first, pair.second)])
        return {"scores": scores, **loss_and_norm(model, objective)}

    return model, objective, settings.optim, compare


def dpo(lm: LanguageModel, job: Job) -> Built:
    settings = PreferenceSettings(optim=optim(job, job["size"]["batch"]), beta=job["beta"])
    data = pairs(job)
    objective = PreferenceOptimisation(lm, data.pairs, settings, job["seed"])

    def compare() -> Message:
        chosen = [data.pairs[i] for i in objective.order.at(0)]
        sums = row_logps(lm, [row for pair in chosen for row in (pair.first, pair.second)])
        told = {"logps": sums, **loss_and_norm(lm.model, objective)}
        objective.ref_logps.fill_(torch.nan)  # what the step will ask for again, as it is to be timed
        return told

    return lm.model, objective, settings.optim, compare


def policy(lm: LanguageModel, job: Job) -> Built:
    size = job["size"]
    settings = PolicySettings(
        optim=optim(job, size["prompts"] * size["samples"]),
        steps=job["steps"] + 1,
        samples=size["samples"],
        algorithm="grpo",
        beta=job["beta"],
        kl_budget=1e9,
        max_new_tokens=size["sampled"],
        temperature=1.0,
        score_bound=None,
        length_neutral=False,
        missing_end=0.0,
        checks_weight=0.0,
    )
    rows = tuple(tuple(row["ids"]) for row in job["rows"])
    prompts = PolicyPrompts(tuple(map(str, range(len(rows)))), rows)
    objective = PolicyOptimisation(lm, LocalEngine(lm), worth, prompts, settings, seed=job["seed"])

    def compare() -> Message:
        given = PolicyOptimisation(
            lm, Given(lm, job), lambda samples: job["rewards"], prompts, settings, seed=job["seed"]
        )
        given._chosen = lambda step: [0] * size["prompts"]  # all after one prompt
        kept: list[Rollouts] = []
        roll_out = given.roll_out
        given.roll_out = lambda step: (kept.append(roll_out(step)), kept[-1])[-1]
        norm = loss_and_norm(lm.model, given)["grad_norm"]
        # the fused loss has GRPO's gradient and another value; this is its value
        pulls = [float(k3(ratio).mean()) for ratio in kept[0].log_ratios]
        loss = job["beta"] * sum(pulls) / len(pulls) - sum(job["advantages"]) / len(pulls)
        sums = [sum(sample.logps) for sample in kept[0].samples]
        return {"logps": sums, "loss": loss + mean_size(job["advantages"]), "grad_norm": norm}

    return lm.model, objective, settings.optim, compare


def worth(samples: Sequence[Sample]) -> list[float]:
    return [distinct_words(sample.text) for sample in samples]


class Given:
    """An engine whose samples are the job's, with the log-probs that the policy gives them."""

    def __init__(self, lm: LanguageModel, job: Job) -> None:
        self.lm, self.given = lm, job["given"]

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]
    ) -> list[Sample]:
        ids = [tuple(sample["ids"]) for sample in self.given]
        logps = sequence_logps(self.lm, prompts, ids)
        return [
            Sample(tuple(prompt), own, tuple(logp.tolist()), sample["text"], ended=True)
            for prompt, own, logp, sample in zip(prompts, ids, logps, self.given, strict=True)
        ]

    def answer(
        self, conversations: Sequence[Conversation], sampling: Sampling, seed: int = 0, *, raw: bool = False
    ) -> list[Sample]:
        raise NotImplementedError


def sampling_side(lm: LanguageModel, job: Job, told: Message) -> Side:
    prompts = [row["ids"] for row in job["rows"]]
    how = Sampling(job["size"]["decoded"], 1.0)
    engine, counted = LocalEngine(lm), [0]

    def sample(seed: int) -> list[Sample]:
        return engine.sample(prompts, how, range(seed, seed + len(prompts)))

    def compare() -> Message:
        samples = sample(0)
        (Path(job["folder"]) / "samples.json").write_text(json.dumps([s.response_ids for s in samples]))
        return {"logps": [sum(s.logps) for s in samples]}

    def run(boundary: Callable[[], None]) -> None:
        for step in range(job["steps"] + 1):
            boundary()
            counted[0] = sum(len(s.response_ids) for s in sample((step + 1) * len(prompts)))

    return Side({"compare": compare}, run, told, lambda: counted[0])


def pairs(job: Job) -> EncodedPairs:
    found = []
    for i, row in enumerate(job["rows"]):
        prompt = tuple(row["prompt_ids"])
        first, second = (
            EncodedRow(prompt + own, (False,) * len(prompt) + (True,) * len(own))
            for own in (tuple(row["chosen_ids"]), tuple(row["rejected_ids"]))
        )
        found.append(EncodedPair(str(i), first, second, 1.0, 1.0))
    return EncodedPairs(tuple(found))


def row_logps(lm: LanguageModel, rows: Sequence[EncodedRow]) -> list[float]:
    """Summed log-probs of the trained tokens of each row; everything before them is taken for its prompt."""
    firsts = [row.response_mask.index(True) for row in rows]
    each = sequence_logps(
        lm,
        [row.ids[:first] for row, first in zip(rows, firsts, strict=True)],
        [row.ids[first:] for row, first in zip(rows, firsts, strict=True)],
    )
    return [
        float(logps[torch.tensor(row.response_mask[first:])].sum())
        for row, first, logps in zip(rows, firsts, each, strict=True)
    ]


def loss_and_norm(module: torch.nn.Module, objective: Any) -> Message:
    """Loss and gradient norm of the first step, which is not taken."""
    module.train()
    total = 0.0
    for micro in objective.prepare(0).micros:
        loss, _ = objective.loss(micro)
        loss.backward()
        total += loss.item()
    grads = [p.grad for p in module.parameters() if p.requires_grad and p.grad is not None]
    norm = float(torch.nn.utils.get_total_norm(grads))
    module.zero_grad(set_to_none=True)
    return {"loss": total, "grad_norm": norm}


if __name__ == "__main__":
    serve(stdio(), prepare)
