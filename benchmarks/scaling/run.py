"""How seconds and memory grow: of the fused head with rows and with the vocabulary, of a step of instruction
tuning with rows and with the response's length. Each point is measured in a process of its own, so that
what one leaves behind is not counted at the next."""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from gnomon.config import DEFAULT_MODEL, LoraSettings
from gnomon.kernels.allocator import settle
from gnomon.kernels.fused import weighted_nll
from gnomon.kernels.head import Head, plain_logps
from gnomon.models.load import load
from gnomon.models.lora import add_lora
from gnomon.pipeline.lineage import software
from gnomon.records import EncodedRow
from gnomon.runs import write_json
from gnomon.settings.base import OptimSettings
from gnomon.training.sft import EncodedRows, InstructionTuning
from paired import hardware
from worker import memory, resident

SEED = 0
WIDTH = 640
PROMPT = 64
"""Tokens before each response of a step."""
SIZES = {
    "head: rows": (256, 512, 1024, 2048, 4096),
    "head: vocabulary": (16_384, 65_536, 131_072, 262_144),
    "step: rows": (4, 8, 16, 32),
    "step: response tokens": (64, 128, 256, 512),
}
SMALL = {name: sizes[:2] for name, sizes in SIZES.items()}
ROWS, VOCABULARY, STEP_ROWS, RESPONSE = 1024, 65_536, 8, 128
"""What each size is while another one grows."""
REPEATS = 3

Work = Callable[[], object]


def head(side: str, rows: int, vocabulary: int) -> Work:
    """Loss and gradient of the states under a frozen head, fused or with all logits at once."""
    generator = torch.Generator().manual_seed(SEED)
    weight = torch.randn(vocabulary, WIDTH, generator=generator).mul_(0.02).to(torch.bfloat16)
    hidden = torch.randn(rows, WIDTH, generator=generator).to(torch.bfloat16).requires_grad_()
    targets = torch.randint(vocabulary, (rows,), generator=generator)
    weights = torch.full((rows,), 1 / rows)

    def fused() -> None:
        weighted_nll(hidden, Head(weight), targets, weights)[0].backward()

    def plain() -> None:
        (-(weights * plain_logps(hidden, Head(weight), targets)).sum()).backward()

    return fused if side == "fused" else plain


def step(model: str, rows: int, response: int) -> Work:
    """A step of instruction tuning on random tokens, adapters trained."""
    lm = add_lora(load(model), LoraSettings(), SEED)
    vocabulary = lm.model.get_input_embeddings().weight.shape[0]
    generator = torch.Generator().manual_seed(SEED)
    length = PROMPT + response
    drawn = torch.randint(vocabulary, (rows, length), generator=generator).tolist()
    mask = (False,) * PROMPT + (True,) * response
    data = EncodedRows(tuple(map(str, range(rows))), tuple(EncodedRow(tuple(ids), mask) for ids in drawn))
    objective = InstructionTuning(lm, data, OptimSettings(batch_size=rows, epochs=1), SEED)

    def work() -> None:
        for micro in objective.prepare(0).micros:
            objective.loss(micro)[0].backward()
        lm.model.zero_grad(set_to_none=True)

    return work


def points(model: str, name: str, size: int) -> Iterator[tuple[str, Callable[[], Work]]]:
    """Each side of one point of a plot, to be built where it is measured."""
    match name:
        case "head: rows":
            for side in ("fused", "plain"):
                yield side, lambda side=side: head(side, size, VOCABULARY)
        case "head: vocabulary":
            for side in ("fused", "plain"):
                yield side, lambda side=side: head(side, ROWS, size)
        case "step: rows":
            yield "gnomon", lambda: step(model, size, RESPONSE)
        case _:
            yield "gnomon", lambda: step(model, STEP_ROWS, size)


def measured(build: Callable[[], Work]) -> dict[str, float]:
    """Median seconds, and the most memory above what was there before, of a piece of work."""
    work = build()
    work()  # memory is touched for the first time
    memory()
    before, seconds = resident(), []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return {
        "seconds": round(statistics.median(seconds), 4),
        "peak_mib": round((memory()["peak"] - before) / 2**20),
    }


def apart(build: Callable[[], Work], threads: int) -> dict[str, float]:
    """`measured` in a process of its own."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()

    def child() -> None:
        settle()
        torch.set_num_threads(threads)
        there.send(measured(build))

    process = context.Process(target=child)
    process.start()
    there.close()
    try:
        found: dict[str, float] = here.recv()
    finally:
        process.join()
    return found


def main() -> None:
    """Measure every point, and write results.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--tiny", action="store_true", help="two sizes of each, a step of the tiny model")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    options = parser.parse_args()
    model, sizes = ("tiny:0", SMALL) if options.tiny else (DEFAULT_MODEL, SIZES)
    found: dict[str, list[dict[str, Any]]] = {}
    for name, own in sizes.items():
        found[name] = []
        for size in own:
            for side, build in points(model, name, size):
                found[name].append({"side": side, "size": size, **apart(build, options.threads)})
                print(name, found[name][-1], flush=True)
    fixed = {"rows": ROWS, "vocabulary": VOCABULARY, "step_rows": STEP_ROWS, "response": RESPONSE}
    about = {"model": model, "seed": SEED, "fixed": fixed, "hardware": hardware(), "software": software()}
    write_json(options.out, about | {"points": found})


if __name__ == "__main__":
    main()
