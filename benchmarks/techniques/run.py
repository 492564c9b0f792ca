"""What each technique saves: the same work with it and without it, in turn, in one process.

Training is loss and gradient of one step of instruction tuning, scoring is log-probs of its rows, sampling is
answers to built-in prompts, sentences are answers that end with their first; all of a model with adapters.
What is switched off is computed the plain way; the results stay the same.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache

from gnomon.config import DEFAULT_MODEL, DataSettings, LoraSettings
from gnomon.data.sources import Data, read_data
from gnomon.kernels import attention as products
from gnomon.kernels import fused, head
from gnomon.kernels.allocator import settle as settle_memory
from gnomon.kernels.norm import plain_rms_norm
from gnomon.kernels.rare import RareWords
from gnomon.models import attention, fuse, inference, lanes, lora, settle
from gnomon.models.load import LanguageModel, load
from gnomon.models.logps import sequence_logps
from gnomon.pipeline.lineage import software
from gnomon.rollouts import decoding
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.runs import write_json
from gnomon.settings.base import OptimSettings
from gnomon.training import sft
from gnomon.training.objective import Micro
from paired import hardware, ratios, spread, take_turns
from rare_words.run import every_word

SEED = 0
ROWS, PROMPTS, NEW_TOKENS = 16, 64, 48
SENTENCES = 256
"""Prompts answered by one sentence: more than are read at once, and answers end when they will."""
WARM_UP = 2

Off = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Technique:
    """`off` is a block in which the work is done without it."""

    work: str
    off: Off


def plain_nll(hidden: Tensor, own: head.Head, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The loss from all logits of the rows at once, differentiated by autograd."""
    logps = head.plain_logps(hidden, own, targets)
    return -(weights * logps).sum(), logps.detach()


def everywhere(it: sft.InstructionTuning, micro: Micro) -> tuple[Tensor, dict[str, float]]:
    """The step's loss with the head at every position, those that train nothing weighing 0."""
    batch: sft.TokenBatch = micro.tensors
    states = sft.branch_states(it.lm.model, batch.rows)
    labels = torch.zeros(len(states), dtype=torch.long, device=states.device)
    weights = torch.zeros(len(states), device=states.device)
    labels[batch.before], weights[batch.before] = batch.labels, 1.0 / batch.tokens
    return sft.weighted_nll(states, it.head, labels, weights)[0], {}


def as_they_come(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Rows in micro-batches in the order they have, whatever their lengths."""
    groups: list[list[int]] = [[]]
    for i in range(len(lengths)):
        own = [*groups[-1], i]
        if groups[-1] and len(own) * max(lengths[k] for k in own) > tokens:
            groups.append([i])
        else:
            groups[-1] = own
    return groups


def plain_linear(weight: Tensor, bias: Tensor | None = None) -> Callable[[Tensor], Tensor]:
    return lambda x: functional.linear(x, weight, bias)


def plain_added(weight: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, y: torch.addmm(y, x, weight.detach().T)


@contextmanager
def laid_out_anew() -> Iterator[None]:
    """Inside the block weights are multiplied with as they are."""
    with patch.object(inference, "linear", plain_linear), patch.object(inference, "added", plain_added):
        yield


TECHNIQUES = {
    "the head's gradient in its forward pass": Technique(
        "training", lambda: patch.object(sft, "weighted_nll", plain_nll)
    ),
    "the head only where a label is": Technique(
        "training", lambda: patch.object(sft.InstructionTuning, "loss", everywhere)
    ),
    "a part of the vocabulary at a time, in training": Technique(
        "training", lambda: patch.object(fused, "HELD", 1 << 40)
    ),
    "rare words' pull taken together": Technique(
        "training", lambda: patch.object(RareWords, "likely", every_word)
    ),
    "micro-batches of like length": Technique(
        "training", lambda: patch.object(sft, "cut", lambda _, *rows: as_they_come(*rows))
    ),
    "adapters fused into their layers": Technique(
        "training", lambda: patch.object(fuse, "only_adapter", lambda layer: None)
    ),
    "attention as whole products": Technique("training", lambda: patch.object(attention, "LONGEST", 0)),
    "queries held against what they see alone": Technique(
        "training", lambda: patch.object(products, "BLOCK", 1 << 30)
    ),
    "norms that keep their input alone": Technique(
        "training", lambda: patch.object(settle, "rms_norm", plain_rms_norm)
    ),
    "passes side by side, in training": Technique("training", lambda: patch.object(lanes, "LANES", 1)),
    "passes side by side, in scoring": Technique("scoring", lambda: patch.object(lanes, "LANES", 1)),
    "a part of the vocabulary at a time, in sampling": Technique(
        "sampling", lambda: patch.object(head, "PART", 1 << 30)
    ),
    "weights laid out once": Technique("sampling", laid_out_anew),
    "a cache that grows in place": Technique(
        "sampling",
        lambda: patch.object(decoding, "new_cache", lambda config: DynamicCache(config=config)),
    ),
    "rows that are done leave": Technique("sentences", lambda: patch.object(decoding, "REFILL", 0.0)),
    "prompts of like length read together": Technique(
        "sampling",
        lambda: patch.object(decoding, "by_length", lambda lengths, _: [list(range(len(lengths)))]),
    ),
}


def works(lm: LanguageModel, data: Data) -> dict[str, Callable[[], float]]:
    """Every kind of work; each tells a number that must not change with how it is done."""
    rows = sft.encode_demonstrations(lm, islice(data.sft, ROWS), 512)
    objective = sft.InstructionTuning(lm, rows, OptimSettings(batch_size=len(rows.rows), epochs=1), SEED)
    prompts = [lm.encode_prompt(row.conversation) for row in data.evaluation[:SENTENCES]]

    trained = [weight for weight in lm.model.parameters() if weight.requires_grad]
    answers = [row.ids for row in rows.rows]

    def differentiated(micro: Micro) -> float:
        loss, _ = objective.loss(micro)
        torch.autograd.grad(loss, trained)
        return loss.item()

    def training() -> float:
        lm.model.train()
        micros = objective.prepare(0).micros
        return sum(lanes.side_by_side(differentiated, micros, lanes.lanes(lm.model)))

    def scoring() -> float:
        found = sequence_logps(lm, [ids[:1] for ids in answers], [ids[1:] for ids in answers])
        return float(sum(logps.sum() for logps in found))

    def sampling() -> float:
        samples = LocalEngine(lm).sample(prompts[:PROMPTS], Sampling(NEW_TOKENS), range(PROMPTS))
        return float(sum(len(sample.response_ids) for sample in samples))

    def sentences() -> float:
        samples = LocalEngine(lm).sample(prompts, Sampling(NEW_TOKENS), range(len(prompts)), (".",))
        return float(sum(len(sample.text.split(".")[0]) for sample in samples))

    return {"training": training, "scoring": scoring, "sampling": sampling, "sentences": sentences}


def measure(model: str, rounds: int, names: Sequence[str]) -> dict[str, Any]:
    """For each technique the seconds with and without it, and how many times as fast it makes the work."""
    lm = lora.add_lora(load(model), LoraSettings(), SEED)
    work = works(lm, read_data(DataSettings(), SEED))
    results = {}
    for name in names:
        technique = TECHNIQUES[name]
        sides = {
            "with": lambda t=technique: timed(work[t.work]),
            "without": lambda t=technique: timed(work[t.work], t.off),
        }
        seconds = take_turns(sides, rounds, WARM_UP)
        results[name] = {
            "work": technique.work,
            "seconds": {side: spread(own) for side, own in seconds.items()},
            "times_as_fast": ratios(seconds["without"], seconds["with"]),
        }
        print(f"{name}: {results[name]['times_as_fast']['median']:.2f} times as fast", flush=True)
    return results


def timed(work: Callable[[], float], off: Off | None = None) -> float:
    """Seconds of the work, with a technique switched off or with all of them."""
    started = time.perf_counter()
    if off is None:
        work()
    else:
        with off():
            work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    """Measure, write results.json, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count")
    parser.add_argument("--only", nargs="+", choices=TECHNIQUES, metavar="NAME", default=list(TECHNIQUES))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    options = parser.parse_args()
    settled = settle_memory()
    results = {
        "model": options.model,
        "seed": SEED,
        "size": {"rows": ROWS, "prompts": PROMPTS, "new_tokens": NEW_TOKENS, "warm_up": WARM_UP},
        "allocator_settled": settled,
        "hardware": hardware(),
        "software": software(),
        "techniques": measure(options.model, options.rounds, options.only),
    }
    write_json(options.out, results)


if __name__ == "__main__":
    main()
