"""The machine made ready, and models opened on it. torch is imported here and not before: it takes seconds,
which `--help` and errors in settings must not."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from gnomon.cli.console import err
from gnomon.errors import ConfigError, ModelError
from gnomon.kernels import allocator
from gnomon.models.reference import is_served, parse_endpoint_ref

if TYPE_CHECKING:
    from gnomon.rollouts.endpoint import EndpointEngine
    from gnomon.rollouts.local import LocalEngine

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""A container's share of the processors: microseconds it may run, in a period of so many."""


def settle() -> bool:
    """Set memory and threads for heavy work, before the first large tensor; whether memory took it."""
    kept = allocator.settle()
    import torch  # noqa: PLC0415  see the module's first lines

    if "OMP_NUM_THREADS" not in os.environ:
        # More threads than a container may run at once wait for each other: many times slower.
        torch.set_num_threads(min(torch.get_num_threads(), processors(CPU_QUOTA)))
    return kept


def processors(quota: Path) -> int:
    """How many processors this process may use, by its affinity and its container's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    runs, _, period = quota.read_text(encoding="ascii").partition(" ") if quota.exists() else ("max", "", "")
    return allowed if runs == "max" else max(1, min(allowed, math.ceil(int(runs) / int(period))))


def open_model(ref: str) -> "LocalEngine":
    """A model by its checked reference, ready to answer; ModelError for one that only scores."""
    with err.status(f"loading {ref}"):
        settle()
        from gnomon.models.load import load  # noqa: PLC0415  see the module's first lines
        from gnomon.rollouts.local import LocalEngine  # noqa: PLC0415

        refuse_reward_model(ref)
        return LocalEngine(load(ref))


def refuse_reward_model(ref: str) -> None:
    """ModelError where a reference is that of a model that only scores."""
    if is_reward_model(ref):
        raise ModelError(f"model {ref} is a reward model, which scores answers and gives none; name another")


def is_reward_model(ref: str) -> bool:
    """Whether a reference is that of a model that only scores."""
    from gnomon.models.reward_model import HEAD_FILE  # noqa: PLC0415  see the module's first lines

    return (Path(ref.removeprefix("path:")) / HEAD_FILE).exists()


def open_engine(ref: str, kept: Path | None = None) -> "LocalEngine | EndpointEngine":
    """A model by its checked reference, on this machine or on a server, ready to answer.

    What a server answers is added to the file `kept`, and not asked for again where it is there.
    """
    if not is_served(ref):
        return open_model(ref)
    try:
        from gnomon.rollouts.endpoint import EndpointEngine  # noqa: PLC0415  only here is its extra needed
    except ImportError as problem:
        raise ConfigError(
            f"model {ref} needs a package that is missing ({problem}): pip install 'gnomon[endpoint]'"
        ) from problem
    return EndpointEngine(parse_endpoint_ref(ref), kept)
