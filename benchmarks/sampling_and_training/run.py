"""Gnomon against plain transformers in one process: sampling, and one step of instruction tuning.

All sides get the same model, rows, adapters, dtype, threads and allocator, and take turns; who goes first
rotates. Before anything is timed, log-probs, loss and gradient norm must agree.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from gnomon.config import DEFAULT_MODEL, LoraSettings, OptimSettings
from gnomon.data.collate import Batch, collate
from gnomon.data.formats import load as load_rows
from gnomon.errors import ModelError
from gnomon.evaluation.suites import builtin
from gnomon.kernels.allocator import settle
from gnomon.models.load import LanguageModel, load
from gnomon.models.lora import add_lora
from gnomon.pipeline.lineage import software
from gnomon.records import Demonstration
from gnomon.rollouts.engine import Sample, Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.runs import write_json
from gnomon.training.sft import InstructionTuning, encode_demonstrations

SEED = 0
PROMPTS, NEW_TOKENS = 32, 64
ROWS, MAX_LENGTH = 16, 512
WARM_UP = 2
"""Rounds thrown away: the first ones touch memory for the first time."""
AGREE = {"bfloat16": 2e-2, "float32": 1e-4}
"""Largest relative difference between the sides, by dtype."""
GNOMON = "gnomon"


@dataclass(frozen=True)
class Timing:
    """One turn of one side; `system` is the kernel's share of the process's seconds."""

    tokens: int
    seconds: float
    system: float


def measure(model: str, *, dtype: str, pairs: int, prompts: int, rows: int) -> dict[str, Any]:
    """Everything results.json holds but its setting: agreement and timings of both workloads."""
    lm = load(model, dtype=dtype)
    sampling, differs = sampling_sides(lm, prompts)
    _agree(differs, dtype)
    results = {"sampling": {"differs": differs, **_summary(take_turns(sampling, pairs))}}
    training, differs = training_sides(trainable(lm), rows)
    _agree(differs, dtype)
    results["sft"] = {"differs": differs, **_summary(take_turns(training, pairs))}
    return results


def take_turns(sides: Mapping[str, Callable[[], int]], pairs: int) -> dict[str, list[Timing]]:
    """Each side once a round, another one first each time; the first rounds are not kept."""
    names, kept = list(sides), {name: [] for name in sides}
    for round_ in range(WARM_UP + pairs):
        for name in names[round_ % len(names) :] + names[: round_ % len(names)]:
            timing = _timed(sides[name])
            if round_ >= WARM_UP:
                kept[name].append(timing)
    return kept


def sampling_sides(lm: LanguageModel, count: int) -> tuple[dict[str, Callable[[], int]], dict[str, float]]:
    """Both samplers on the built-in evaluation prompts, and how far the log-probs of our samples are off."""
    suite = builtin()
    chosen = suite[:: max(1, len(suite) // count)][:count]
    prompts = [lm.encode_prompt(prompt.conversation) for prompt in chosen]

    def ours() -> list[Sample]:
        return LocalEngine(lm).sample(
            prompts, Sampling(NEW_TOKENS, 1.0), [SEED + i for i in range(len(prompts))]
        )

    def theirs() -> int:
        torch.manual_seed(SEED)
        return sum(map(len, _generate(lm, prompts)))

    samples = ours()
    sides = {
        GNOMON: lambda: sum(len(sample.response_ids) for sample in ours()),
        "transformers": theirs,
    }
    return sides, {"logps": max(_relative(sum(s.logps), _plain_logp(lm, s)) for s in samples)}


def trainable(lm: LanguageModel) -> LanguageModel:
    """The model with adapters that are not at their start, where every loss would agree by itself."""
    lm = add_lora(lm, LoraSettings(), SEED)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, parameter in lm.model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.01 * torch.randn(parameter.shape, generator=generator))
    lm.model.train()
    return lm


def training_sides(lm: LanguageModel, count: int) -> tuple[dict[str, Callable[[], int]], dict[str, float]]:
    """One step's loss and gradient: ours, a padded batch with all logits, and that in our micro-batches."""
    data = encode_demonstrations(lm, _demonstrations(count), MAX_LENGTH)
    objective = InstructionTuning(lm, data, OptimSettings(batch_size=len(data.rows), epochs=1), SEED)
    whole = collate(data.rows, lm.pad_id, lm.device)
    tokens = sum(len(row.ids) for row in data.rows)
    labels = float(whole.response_mask[:, 1:].sum())
    rows = dict(zip(data.ids, data.rows, strict=True))

    def ours() -> float:
        return sum(_backward(objective.loss(micro)[0]) for micro in objective.prepare(0).micros)

    def padded() -> float:
        return _backward(_plain_loss(lm, whole))

    def grouped() -> float:
        batches = (
            collate([rows[name] for name in micro.row_ids], lm.pad_id, lm.device)
            for micro in objective.prepare(0).micros
        )
        return sum(
            _backward(_plain_loss(lm, batch) * float(batch.response_mask[:, 1:].sum()) / labels)
            for batch in batches
        )

    steps = {GNOMON: ours, "transformers": padded, "transformers, our micro-batches": grouped}
    found = {name: (step(), _take_norm(lm)) for name, step in steps.items()}
    differs = {
        what: max(_relative(found[GNOMON][k], found[name][k]) for name in found)
        for k, what in enumerate(("loss", "gradient norm"))
    }
    sides = {name: lambda step=step: (step(), _take_norm(lm), tokens)[-1] for name, step in steps.items()}
    return sides, differs


def _generate(lm: LanguageModel, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Responses by transformers' own loop, without the filters it applies unless told otherwise."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[lm.pad_id] * (longest - len(p)) + list(p) for p in prompts], device=lm.device)
    lengths = torch.tensor([len(p) for p in prompts], device=lm.device)
    attention = (torch.arange(longest, device=lm.device)[None] >= longest - lengths[:, None]).long()
    output = lm.model.generate(
        input_ids=ids,
        attention_mask=attention,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=NEW_TOKENS,
        eos_token_id=sorted(lm.stop_ids),
        pad_token_id=lm.pad_id,
    )
    return [_until_stop(row, lm.stop_ids) for row in output[:, longest:].tolist()]


def _until_stop(ids: list[int], stops: frozenset[int]) -> list[int]:
    end = next((i + 1 for i, token in enumerate(ids) if token in stops), len(ids))
    return ids[:end]


@torch.no_grad()
def _plain_logp(lm: LanguageModel, sample: Sample) -> float:
    ids = torch.tensor([[*sample.prompt_ids, *sample.response_ids]], device=lm.device)
    logits = lm.model(input_ids=ids).logits[0, len(sample.prompt_ids) - 1 : -1]
    targets = ids[0, len(sample.prompt_ids) :, None]
    return float(torch.log_softmax(logits.float(), dim=-1).gather(1, targets).sum())


def _plain_loss(lm: LanguageModel, batch: Batch) -> Tensor:
    labels = batch.input_ids.masked_fill(~batch.response_mask, -100)
    loss: Tensor = lm.model(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask.long(), labels=labels, use_cache=False
    ).loss
    return loss


def _backward(loss: Tensor) -> float:
    loss.backward()
    return loss.item()


def _take_norm(lm: LanguageModel) -> float:
    """The norm of the gradient, which is gone afterwards."""
    grads = [p.grad for p in lm.model.parameters() if p.grad is not None]
    norm = float(torch.nn.utils.get_total_norm(grads))
    lm.model.zero_grad(set_to_none=True)
    return norm


def _demonstrations(count: int) -> list[Demonstration]:
    """Built-in demonstrations, the same number of each file until there are enough."""
    folder = files("gnomon.data") / "builtin" / "demonstrations"
    loaded = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        with as_file(entry) as path:
            loaded.append(load_rows(path).records)
    turns = (rows[k] for k in range(count) for rows in loaded if k < len(rows))
    return [row for _, row in zip(range(count), turns, strict=False) if isinstance(row, Demonstration)]


def _relative(one: float, other: float) -> float:
    return abs(one - other) / max(abs(other), 1e-12)


def _agree(differs: Mapping[str, float], dtype: str) -> None:
    for what, by in differs.items():
        if by > AGREE[dtype]:
            raise ModelError(f"{what}: the sides differ by {by:.2%}, more than {AGREE[dtype]:.2%} in {dtype}")


def _timed(work: Callable[[], int]) -> Timing:
    started, before = time.perf_counter(), os.times()
    tokens = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return Timing(tokens, time.perf_counter() - started, os.times().system - before.system)


def _summary(timings: Mapping[str, Sequence[Timing]]) -> dict[str, Any]:
    """Tokens a second of each side, and how many times as fast Gnomon is, pair by pair."""
    speeds = {name: [t.tokens / t.seconds for t in own] for name, own in timings.items()}
    return {
        "tokens_per_second": {name: _spread(own) for name, own in speeds.items()},
        "system_seconds": {name: _spread([t.system for t in own]) for name, own in timings.items()},
        "times_as_fast_as": {
            name: _spread([a / b for a, b in zip(speeds[GNOMON], own, strict=True)])
            for name, own in speeds.items()
            if name != GNOMON
        },
    }


def _spread(values: Sequence[float]) -> dict[str, Any]:
    rounded = [float(f"{value:.4g}") for value in values]
    median = float(f"{statistics.median(values):.4g}")
    return {"median": median, "low": min(rounded), "high": max(rounded), "each": rounded}


def _hardware() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return {
        "cpu": next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), ""),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def main() -> None:
    """Measure, write results.json, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--dtype", choices=AGREE, default="bfloat16")
    parser.add_argument("--pairs", type=int, default=5, help="rounds that count")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    options = parser.parse_args()
    settled = settle()
    results = {
        "model": options.model,
        "dtype": options.dtype,
        "seed": SEED,
        "work": {"prompts": PROMPTS, "new_tokens": NEW_TOKENS, "rows": ROWS, "warm_up": WARM_UP},
        "allocator_settled": settled,
        "hardware": _hardware(),
        "software": software(),
        **measure(options.model, dtype=options.dtype, pairs=options.pairs, prompts=PROMPTS, rows=ROWS),
    }
    write_json(options.out, results)
    for work in ("sampling", "sft"):
        found = {key: results[work][key] for key in ("tokens_per_second", "times_as_fast_as")}
        print(f"{work}: {json.dumps(found, indent=2)}")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
