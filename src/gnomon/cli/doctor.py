"""`gnomon doctor`: is this machine ready, and what to do where it is not."""

import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil
import typer
from rich.text import Text

from gnomon.cli.console import out, print_json
from gnomon.cli.machine import CPU_QUOTA, processors, settle
from gnomon.cli.options import AsJson
from gnomon.config import DEFAULT_MODEL
from gnomon.models.reference import parse_model_ref

MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
GIB = 2**30
ENOUGH_MEMORY = 4 * GIB
"""What training the default model takes, and a little."""

ENOUGH_DISK = 5 * GIB
SIDE = 768
"""Rows and columns of the matrices that are multiplied to measure speed."""

STYLES = {"ok": "green", "warn": "yellow", "problem": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `advice` says what to do where it is not well."""

    name: str
    status: Literal["ok", "warn", "problem"]
    found: str
    advice: str = ""


def doctor(as_json: AsJson = False) -> None:
    """Look at this machine: what is there, how fast it is, what is missing and what to do about it."""
    found = list(findings())
    if as_json:
        print_json({"findings": [asdict(one) for one in found]})
    else:
        for one in found:
            line = Text(f"{one.status:<8}", STYLES[one.status]).append(f"{one.name}: {one.found}", "default")
            out.print(line.append(f"; {one.advice}" if one.advice else ""), soft_wrap=True)
    if any(one.status == "problem" for one in found):
        raise typer.Exit(1)


def findings() -> Iterator[Finding]:
    """Everything that is looked at."""
    kept = settle()
    yield Finding("python", "ok", f"{platform.python_version()} ({sys.executable})")
    yield torch_build()
    yield arithmetic()
    yield gpu()
    yield memory(psutil.virtual_memory().available, MEMORY_LIMIT)
    yield disk("disk here", Path.cwd())
    yield from cache()
    yield extra("gguf", ("gguf", _module(DEFAULT_MODEL)), "the packaged default model")
    yield extra("hub", ("datasets",), "data from the hub")
    yield extra("lm-eval", ("lm_eval",), "tasks of lm-evaluation-harness")
    yield extra("inspect", ("inspect_ai",), "tasks of inspect_ai")
    yield allocator(kept)


def torch_build() -> Finding:
    """The version and build of torch, and its threads."""
    import torch  # noqa: PLC0415  slow to import; the other commands' help must not wait

    threads, allowed = torch.get_num_threads(), processors(CPU_QUOTA)
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    found = f"{torch.__version__}, {build} build, {threads} threads on {allowed} processors"
    if threads > allowed:
        return Finding("torch", "warn", found, f"set OMP_NUM_THREADS={allowed}")
    return Finding("torch", "ok", found)


def arithmetic() -> Finding:
    """How fast matrices are multiplied in the two number formats."""
    import torch  # noqa: PLC0415  slow to import

    speeds = {name: _gflops(getattr(torch, name)) for name in ("bfloat16", "float32")}
    found = ", ".join(f"{name} {speed:.0f} GFLOP/s" for name, speed in speeds.items())
    if speeds["bfloat16"] < speeds["float32"] / 2:
        return Finding("arithmetic", "warn", found, "bfloat16 is slow here: set model.dtype=float32")
    return Finding("arithmetic", "ok", found)


def _gflops(dtype: object) -> float:
    """1e9 operations a second in one product of square matrices, the best of three."""
    import torch  # noqa: PLC0415  slow to import

    device = "cuda" if torch.cuda.is_available() else "cpu"
    matrix = torch.ones(SIDE, SIDE, dtype=dtype, device=device)  # type: ignore[call-overload]
    times = []
    for _ in range(4):
        begun = time.perf_counter()
        float((matrix @ matrix)[0, 0])  # reading a number waits for the device
        times.append(time.perf_counter() - begun)
    return 2 * SIDE**3 / min(times[1:]) / 1e9


def gpu() -> Finding:
    """The GPU that models are put on, where there is one."""
    import torch  # noqa: PLC0415  slow to import

    if torch.cuda.is_available():
        about = torch.cuda.get_device_properties(0)
        return Finding("gpu", "ok", f"{about.name}, {about.total_memory / GIB:.0f} GiB")
    if torch.version.cuda:
        return Finding(
            "gpu", "warn", "none, though torch is built for one", "check nvidia-smi and the driver"
        )
    return Finding("gpu", "ok", "none; everything runs on the processor")


def memory(available: int, limit: Path) -> Finding:
    """Free memory, and the container's limit where it has one."""
    capped = limit.read_text(encoding="ascii").strip() if limit.exists() else "max"
    cap = "" if capped == "max" else f", a container's limit of {int(capped) / GIB:.1f} GiB"
    least = available if capped == "max" else min(available, int(capped))
    found = f"{available / GIB:.1f} GiB available{cap}"
    if least < ENOUGH_MEMORY:
        advice = "training the default model takes about 4 GiB: close programs, or lower model.max_length"
        return Finding("memory", "warn", found, advice)
    return Finding("memory", "ok", found)


def disk(name: str, folder: Path) -> Finding:
    """Free space where a folder is, or will be."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / GIB:.1f} GiB free for {folder}"
    if not os.access(there, os.W_OK):
        return Finding(name, "problem", f"{there} may not be written", "let this user write there")
    if free < ENOUGH_DISK:
        return Finding(name, "warn", found, "a run of the default model takes up to 5 GiB: free some")
    return Finding(name, "ok", found)


def cache() -> Iterator[Finding]:
    """Where prepared models lie, and whether the default one is among them."""
    from gnomon.models.gguf import cache_folder  # noqa: PLC0415  torch is slow to import

    folder = cache_folder()
    yield disk("cache", folder)
    package = parse_model_ref(DEFAULT_MODEL).name.partition("/")[0]
    ready = sorted(folder.glob(f"{package}-*/config.json"))
    if ready:
        yield Finding("default model", "ok", f"prepared in {ready[0].parent}")
    elif find_spec(_module(DEFAULT_MODEL)):
        yield Finding("default model", "ok", "installed, prepared on first use in about a minute")
    else:
        yield Finding("default model", "warn", "not installed", "pip install 'gnomon[gguf]', or name another")


def extra(name: str, modules: tuple[str, ...], purpose: str) -> Finding:
    """Whether the packages of an extra are installed."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        advice = f"for {purpose}: pip install 'gnomon[{name}]'"
        return Finding(f"extra {name}", "warn", f"{', '.join(missing)} missing", advice)
    return Finding(f"extra {name}", "ok", purpose)


def allocator(kept: bool) -> Finding:  # noqa: FBT001  a finding of its own, not a switch
    """Whether freed memory is kept for the next step."""
    if kept:
        return Finding("allocator", "ok", "freed memory is kept for the next step")
    if os.environ.get("GNOMON_ALLOCATOR") == "system":
        advice = "training on the processor takes up to twice as long: unset GNOMON_ALLOCATOR"
        return Finding("allocator", "warn", "left alone, as GNOMON_ALLOCATOR=system asks", advice)
    return Finding("allocator", "ok", "the system's own")


def _module(ref: str) -> str:
    """The module that carries a packaged model."""
    return parse_model_ref(ref).name.partition("/")[0].replace("-", "_")
