"""What every benchmark does alike: sides take turns, must agree first, and are compared pair by pair."""

import argparse
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch

from gnomon.config import DEFAULT_MODEL
from gnomon.errors import ModelError
from gnomon.pipeline.lineage import software
from gnomon.runs import write_json

AGREE = {"bfloat16": 2e-2, "float32": 1e-5}
"""Largest relative difference between the sides, by dtype."""

T = TypeVar("T")


def take_turns(sides: Mapping[str, Callable[[], T]], pairs: int, warm_up: int) -> dict[str, list[T]]:
    """What each side gives in each round, another one first each time.

    The first `warm_up` rounds are thrown away: they touch memory for the first time.
    """
    names = list(sides)
    kept: dict[str, list[T]] = {name: [] for name in names}
    for round_ in range(warm_up + pairs):
        for name in names[round_ % len(names) :] + names[: round_ % len(names)]:
            found = sides[name]()
            if round_ >= warm_up:
                kept[name].append(found)
    return kept


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, lowest, highest and each of some values, to four digits."""
    rounded = [float(f"{value:.4g}") for value in values]
    median = float(f"{statistics.median(values):.4g}")
    return {"median": median, "low": min(rounded), "high": max(rounded), "each": rounded}


def ratios(over: Sequence[float], under: Sequence[float]) -> dict[str, Any]:
    """The spread of over / under, pair by pair."""
    return spread([a / b for a, b in zip(over, under, strict=True)])


def relative(one: float, other: float) -> float:
    """How far `one` is from `other`, as a share of it."""
    return abs(one - other) / max(abs(other), 1e-12)


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, float]:
    """Relative differences of what both sides tell; of a list, the root mean square over its rows.

    Of a list, relative to that of its values: a score may lie near zero by chance.
    """
    if set(ours) != set(theirs):
        raise ModelError(f"one side tells {sorted(ours)}, the other {sorted(theirs)}")
    found = {}
    for what, own in ours.items():
        other = theirs[what]
        if isinstance(own, list):
            apart = [a - b for a, b in zip(own, other, strict=True)]
            found[what] = rms(apart) / max(rms(other), 1e-12)
        else:
            found[what] = relative(own, other)
    return found


def rms(values: Sequence[float]) -> float:
    """The root of the mean square."""
    return math.sqrt(statistics.fmean(value * value for value in values))


def check(differs: Mapping[str, float], limit: float, where: str) -> None:
    """ModelError where the sides compute different things, which must not be timed against each other."""
    for what, by in differs.items():
        if not by <= limit:
            raise ModelError(f"{where}: {what} differs by {by:.3g}, more than {limit:g}")


def measure_model(
    description: str | None, script: Path, seed: int, measure: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    """A benchmark of one model as a command: what `measure` gives, in `--out` or beside its script."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--out", type=Path, default=script.with_name("results.json"))
    options = parser.parse_args()
    results = {"model": options.model, "seed": seed, "hardware": hardware(), "software": software()}
    results |= measure(options.model)
    write_json(options.out, results)
    return results


def hardware() -> dict[str, Any]:
    """The machine, as far as it decides how long things take."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return {
        "cpu": next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), ""),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
