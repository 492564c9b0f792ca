"""Gnomon against its peers: the same rows, model, adapters and machine, taking turns in one process tree.

Each peer must first agree with Gnomon on log-probs, loss and gradient norm; then both take a step in turn,
another one first each time. A peer's `tuned` settings are the fastest of a small search.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from gnomon import SHAPES, SPINS
from gnomon.errors import ConfigError, ModelError
from gnomon.pipeline.lineage import software
from gnomon.runs import write_json
from models import MODELS, reference
from page import row_of
from paired import AGREE, check, differences, hardware, ratios, spread, take_turns
from peers import CANDIDATES, NOT_ITS_OWN, ON_GPU, PARTS, PEERS, Peer
from work import SEED, WARM_UP, WORKLOADS, write_job

HERE = Path(__file__).parent
PYTHONS = {
    "gnomon": Path(sys.executable),
    "trl": HERE.parent / ".venv-peers" / "bin" / "python",
    "vllm": HERE.parent / ".venv-vllm" / "bin" / "python",
}
SETTLED = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
    "GOMP_SPINCOUNT": SPINS,
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": SHAPES,
}
"""Freed memory stays in the process (half of a peer's step was page faults otherwise); idle threads sleep;
code for shapes of products that will not come again is let go."""

OURS = 3 << 30
"""Bytes left to Gnomon and the system: a peer that asks for more than the rest is refused, where it would
have brought the machine to a standstill."""
RESULTS = {"cpu": "results.json", "cuda": "results-gpu.json"}
"""Where what was measured on a device is written, in the folder of the work."""
SEARCHED_STEPS = 2
"""Steps each candidate takes; the faster one counts."""
COARSE = {"reward": 1e-1, "dpo": 1e-1}
"""Largest relative difference in bfloat16 where losses rest on scores, or on differences between sums, of
whole rows, which bfloat16 moves by as much on either side (docs/log.md). These agree in float32 first."""
IN_FLOAT32 = 1e-4
"""Largest relative difference between the sides in float32, over all layers of the default model."""


@dataclass(frozen=True)
class Link:
    """A worker as the coordinator sees it."""

    ask: Callable[[dict[str, Any]], dict[str, Any]]
    gives_back: bool = False

    def do(self, what: str) -> dict[str, Any]:
        return self.ask({"do": what})

    def step(self) -> dict[str, Any]:
        if self.gives_back:
            self.do("trim")
        return self.do("step")


@contextmanager
def worker(
    side: str,
    job: Path,
    settings: Mapping[str, Any],
    threads: int,
    *,
    settled: bool = True,
    device: str = "cpu",
) -> Iterator[tuple[Link, dict[str, Any]]]:
    """A prepared side in a process of its own, and what it told of itself; it ends with the block."""
    log = (job / f"{side}.log").open("a")
    process = subprocess.Popen(
        [str(PYTHONS[side]), "-m", f"sides.{side}"],
        cwd=HERE,
        env=environment(settings, threads, settled=settled),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    if side != "gnomon" and device == "cpu":  # a GPU's driver maps more than there is
        room = psutil.virtual_memory().total - OURS
        psutil.Process(process.pid).rlimit(psutil.RLIMIT_DATA, (room, room))

    def ask(message: dict[str, Any]) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        answer: dict[str, Any] = json.loads(line) if line else {"error": "it ended without a word"}
        if "error" in answer:
            said = Path(log.name).read_text()[-2000:]
            raise ModelError(f"{side} at {message['do']}: {answer['error']}\n{said}")
        return answer

    try:
        link = Link(ask, settings.get("gives_back", False))
        own = {name: value for name, value in settings.items() if name not in NOT_ITS_OWN}
        yield link, ask({"do": "prepare", "job": str(job), "settings": own, "threads": threads})
    finally:
        process.communicate()  # its input ends, and so does it
        log.close()


def environment(settings: Mapping[str, Any], threads: int, *, settled: bool = True) -> dict[str, str]:
    """The variables of a side: alike for all, but for those that its settings name, and for the allocator's
    where that is to be as it comes."""
    alike = {**(SETTLED if settled else {}), "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    came = {name: value for name, value in os.environ.items() if name not in SETTLED}  # Gnomon sets its own
    return {**came, **alike, **settings.get("env", {})}


def measure(
    name: str, job: dict[str, Any], peers: Sequence[str], pairs: int, threads: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name of each of `peers`, and agreement and timings of Gnomon against it, in one kind of work."""
    folder, device = Path(job["folder"]), job["device"]
    exact = in_float32(name, job, threads) if peers and limit(job) > AGREE["bfloat16"] else {}
    for peer in peers or ("",):
        with worker("gnomon", folder, {}, threads) as (ours, told):
            if not peer:
                yield "gnomon", alone(ours, told, pairs)
                return
            found: dict[str, Any] = {"differs_in_float32": exact} if exact else {}
            settings, other = defaults(job), PEERS[peer]
            own = ours.do("compare")
            if other.tuned:
                found["search"], settings = search(other.side, job, own, threads)
            link = worker(other.side, folder, settings, threads, settled=other.settled, device=device)
            with link as (theirs, told_of):
                found["differs"] = differences(own, theirs.do("compare"))
                check(found["differs"], limit(job), f"{name}, {peer}")
                found |= {"settings": settings, "software": told_of["software"]}
                yield peer, found | against(ours, told, theirs, told_of, pairs)


def defaults(job: Mapping[str, Any]) -> dict[str, Any]:
    """A library as it comes; without autocast where float32 is to show that both sides compute the same."""
    exact = job["ref"].startswith("tiny:") or (job["kind"] in COARSE and job["dtype"] == "float32")
    return {"bf16": False} if exact and job["kind"] != "sampling" else {}


def limit(job: Mapping[str, Any]) -> float:
    """The largest difference between sides that may be timed against each other.

    Where weights are float32 but a peer computes in bfloat16, bfloat16 is what can be asked for.
    """
    if job["ref"].startswith("tiny:"):
        return AGREE["float32"]
    return COARSE.get(job["kind"], AGREE["bfloat16"])


def in_float32(name: str, job: Mapping[str, Any], threads: int) -> dict[str, float]:
    """How far TRL is from Gnomon on the same rows with weights in float32; ModelError beyond `IN_FLOAT32`."""
    with tempfile.TemporaryDirectory(dir=job["folder"]) as folder:
        # adapters of its own, drawn in that dtype
        exact = {**job, "dtype": "float32", "theirs": "float32", "folder": folder}
        write_json(Path(folder) / "job.json", exact)
        told = []
        for side in ("gnomon", "trl"):
            settings = {} if side == "gnomon" else defaults(exact) | PARTS.get(exact["kind"], {})
            with worker(side, Path(folder), settings, threads, device=job["device"]) as (link, _):
                told.append(link.do("compare"))
    differs = differences(*told)
    check(differs, IN_FLOAT32, f"{name}, in float32")
    return differs


def search(
    side: str, job: Mapping[str, Any], own: Mapping[str, Any], threads: int
) -> tuple[list[Any], dict[str, Any]]:
    """Seconds of every candidate, or why it cannot be had; and the fastest that agrees with Gnomon."""
    tried = []
    known = CANDIDATES[side]
    for settings in known.get(job["name"], known[job["kind"]]):
        try:
            with worker(side, Path(job["folder"]), settings, threads, device=job["device"]) as (link, _):
                check(differences(own, link.do("compare")), limit(job), str(settings))
                link.do("memory")  # what the comparison left is given back
                seconds = [link.step()["seconds"] for _ in range(SEARCHED_STEPS)]
            tried.append({"settings": settings, "seconds": round(min(seconds), 3)})
        except ModelError as problem:
            tried.append({"settings": settings, "refused": str(problem).splitlines()[0]})
    able = [one for one in tried if "seconds" in one]
    if not able:
        raise ModelError(f"none of the peer's candidates can be timed: {tried}")
    return tried, min(able, key=lambda one: one["seconds"])["settings"]


def alone(ours: Link, told: Mapping[str, Any], pairs: int) -> dict[str, Any]:
    """Gnomon's figures where no peer is at hand."""
    values = ours.do("compare")
    ours.do("memory")
    steps = take_turns({"gnomon": ours.step}, pairs, WARM_UP)["gnomon"]
    return {"values": values, **figures(steps, ours.do("memory")["peak"] - told["loaded"])}


def against(
    ours: Link, told: Mapping[str, Any], theirs: Link, told_of: Mapping[str, Any], pairs: int
) -> dict[str, Any]:
    """Both sides' figures, Gnomon's speed over the peer's, and its share of the peer's memory."""
    for link in (ours, theirs):
        link.do("memory")
    sides = {"gnomon": ours.step, "peer": theirs.step}
    steps = take_turns(sides, pairs, WARM_UP)
    found = {
        "gnomon": figures(steps["gnomon"], ours.do("memory")["peak"] - told["loaded"]),
        "peer": figures(steps["peer"], theirs.do("memory")["peak"] - told_of["loaded"]),
    }
    rates = {name: found[name]["units_per_second"]["each"] for name in found}
    return found | {
        "times_as_fast": ratios(rates["gnomon"], rates["peer"]),
        "share_of_memory": round(found["gnomon"]["peak_mib"] / max(1, found["peer"]["peak_mib"]), 3),
    }


def figures(steps: Sequence[Mapping[str, float]], above: int) -> dict[str, Any]:
    """What a side's steps come to; `above` are the bytes it held beyond its loaded weights."""
    return {
        "seconds": spread([step["seconds"] for step in steps]),
        "units_per_second": spread([step["units"] / step["seconds"] for step in steps]),
        "system_share": round(
            sum(s["system"] for s in steps) / max(1e-9, sum(s["processor"] for s in steps)), 3
        ),
        "peak_mib": round(above / 2**20),
    }


def main() -> None:
    """Measure each workload, write its results, and print its rows of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--pairs", type=int, default=5, help="rounds that count")
    parser.add_argument("--sides", help="the peers, by default all for the device; empty: Gnomon alone")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--model", choices=MODELS, default="default", help="tiny is computed in float32")
    parser.add_argument("--device", choices=RESULTS, default="cpu")
    parser.add_argument("--out", type=Path, default=HERE, help="the folder of WORKLOAD/results.json")
    options = parser.parse_args()
    on_gpu = options.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        parser.error("torch finds no GPU; install its build for CUDA, or leave out --device")
    peers = {name: PEERS[name] for name in (ON_GPU if on_gpu else PEERS)}
    sides = list(peers) if options.sides is None else [name for name in options.sides.split(",") if name]
    try:
        asked = chosen(options.workloads, sides, peers)
    except ConfigError as problem:
        parser.error(str(problem))
    if on_gpu:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # a peer shares a step out among all it sees
    if not measure_all(asked, options):
        sys.exit(1)


def measure_all(asked: Mapping[str, Sequence[str]], options: argparse.Namespace) -> bool:
    """Measure workloads with their peers, each by itself: whether all could be."""
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        model = reference(options.model, Path(folder))
        for name, peers in asked.items():
            results: dict[str, Any] = {}
            try:
                for results in one(name, peers, model, options):  # a peer that fails takes nothing with it
                    write_json(options.out / name / RESULTS[options.device], results)
            except ModelError as problem:
                failed.append(name)
                print(f"{name}: {problem}", file=sys.stderr, flush=True)
            if results:
                print(*row_of(name, results), sep="\n", flush=True)
    return not failed


def chosen(
    workloads: Sequence[str], peers: Sequence[str], known: Mapping[str, Peer] = PEERS
) -> dict[str, list[str]]:
    """The workloads asked for, each with those of `peers` that do such work; all where none is named.

    ConfigError for an unknown name, a workload that none of the peers does, a peer that is not installed.
    """
    for what, names, there in (("workload", workloads, WORKLOADS), ("side", peers, known)):
        if unknown := [name for name in names if name not in there]:
            raise ConfigError(f"unknown {what} {unknown[0]!r}; there are {', '.join(there)}")
    found = {}
    for name in workloads or WORKLOADS:
        found[name] = [peer for peer in peers if WORKLOADS[name].kind in CANDIDATES[PEERS[peer].side]]
        if peers and not found[name]:
            raise ConfigError(f"{', '.join(peers)} cannot do {name}; name other workloads or sides")
        for peer in found[name]:
            if not PYTHONS[PEERS[peer].side].exists():
                raise ConfigError(f"{peer} is not installed: make peers, or leave it out of --sides")
    return found


def one(name: str, peers: Sequence[str], model: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All that a workload's results hold, as they grow with each peer."""
    timed, device = MODELS[options.model], options.device
    with tempfile.TemporaryDirectory() as folder:
        job = write_job(Path(folder), name, model, timed.size, WARM_UP + options.pairs, device)
        results: dict[str, Any] = {
            "model": timed.ref or options.model,
            "device": device,
            "dtype": job["dtype"],
            "seed": SEED,
            "pairs": options.pairs,
            "warm_up": WARM_UP,
            "unit": WORKLOADS[name].unit,
            "lora": job["lora"],
            "size": job["size"],
            "lengths": job["lengths"],
            "settled": SETTLED,
            "hardware": hardware() | {"threads": options.threads},
            "software": software(),
            "against": {},
        }
        for peer, found in measure(name, job, peers, options.pairs, options.threads):
            results["against"][peer] = found
            yield results


if __name__ == "__main__":
    main()
