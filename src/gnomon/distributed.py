"""Processes that work as one: what one of them knows all know, and what fails in one fails in all."""

import hashlib
import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from torch import Tensor
from torch import distributed as dist

from gnomon.errors import INTERRUPTED, GnomonError, ModelError
from gnomon.runs import AGAIN

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

PATIENCE = timedelta(days=14)
"""How long a process waits for the others: one of them may write, or walk a long way, alone."""

BUCKET = 1 << 25
"""Bytes of a flat buffer that tensors are added up in."""

_lasting: list[dist.ProcessGroup] = []
"""The group that `lasting` gives, once it was asked for."""

_over = threading.Event()
"""Set once a process has failed and all have been told: nothing is exchanged after that."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """What a process hands in where it failed, in place of what the others wait for."""

    problem: BaseException


def rank() -> int:
    """This process's number among them, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def leads() -> bool:
    """Whether this is the process that writes and that people hear."""
    return rank() == 0


@contextmanager
def processes() -> Iterator[None]:
    """Join the processes that torchrun started; with one process, or inside such a block, this does nothing.

    In a block every process must come to the same exchanges (`gather` and what is made of it) in the same
    order. What one process raises, all raise at their next exchange: the first for people to read, while the
    others leave with its exit code.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    on_gpus = torch.cuda.is_available()
    backend = "cpu:gloo,cuda:nccl" if on_gpus else "gloo"  # who waits on the CPU keeps no GPU busy
    state = PartialState(cpu=not on_gpus, backend=backend, timeout=PATIENCE)
    _over.clear()
    try:
        yield
        gather(None)  # what the last one fails at is heard as well
    except BaseException as problem:  # whatever it is, the others wait for this process
        _tell(problem)
        if leads():
            raise
        raise SystemExit(_exit_code(problem)) from problem
    finally:
        _lasting.clear()
        state.destroy_process_group()


def lasting() -> dist.ProcessGroup:
    """A second group of all processes, for what may be held longer than the block of `processes`.

    A group's threads end with the last that holds it. Where they are still putting away an exchange as Python
    ends, it aborts: who holds the first group, which exchanges to the last moment, makes that likely.
    """
    if not _lasting:
        _lasting.append(dist.new_group(timeout=PATIENCE))
    return _lasting[0]


def gather(value: T) -> list[T]:
    """What every process hands in, in their order, on every process; raises what one of them failed with."""
    if size() == 1:
        return [value]
    parts: list[Any] = [None] * size()
    with _signals_held():
        _exchanged(partial(dist.all_gather_object, parts, value))
        for part in parts:
            if isinstance(part, _Failure):
                _over.set()
                raise part.problem
    return parts


def agreed(value: T) -> T:
    """What the first process says."""
    return gather(value)[0]


def share_out(costs: Sequence[float], shares: int) -> list[list[int]]:
    """The places of `costs` in lists of about equal sums: the dearest first, each to the cheapest list."""
    lists: list[list[int]] = [[] for _ in range(shares)]
    sums = [0.0] * shares
    for i in sorted(range(len(costs)), key=lambda i: -costs[i]):
        cheapest = sums.index(min(sums))
        lists[cheapest].append(i)
        sums[cheapest] += costs[i]
    return [sorted(places) for places in lists]


def spread(costs: Sequence[float], work: Callable[[list[int]], Sequence[R]]) -> list[R]:
    """One result for each place of `costs`, known to every process: each works on its share of the places.

    A process whose share is empty works on that: what it is asked may take all of them together.
    """
    shares = share_out(costs, size())
    parts = gather(list(work(shares[rank()])))
    found = {
        place: result
        for places, results in zip(shares, parts, strict=True)
        for place, result in zip(places, results, strict=True)
    }
    return [found[place] for place in range(len(costs))]


def spread_over(
    items: Sequence[T], cost: Callable[[T], float], work: Callable[[list[T]], Sequence[R]]
) -> list[R]:
    """One result for each item, known to every process: each works on its share of them."""
    return spread([cost(item) for item in items], lambda places: work([items[i] for i in places]))


def add_up(tensors: Sequence[Tensor]) -> None:
    """Put the sum over all processes in the place of each tensor; the same bits on every process."""
    if size() == 1:
        return
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
        with _signals_held():
            _exchanged(partial(dist.all_reduce, flat))
        parts = torch.split(flat, [tensor.numel() for tensor in bucket])
        for tensor, part in zip(bucket, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


def check_alike(weights: Iterable[Tensor]) -> None:
    """ModelError where processes hold other weights than the first one, by their sha256."""
    if size() == 1:
        return
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(weight.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    first, *others = gather(digest.hexdigest())
    if wrong := [str(i) for i, other in enumerate(others, 1) if other != first]:
        raise ModelError(
            f"processes {', '.join(wrong)} of {size()} would train other weights than process 0; "
            "give all of them the same files and versions"
        )


@contextmanager
def in_lockstep() -> Iterator[None]:
    """A block in which torch exchanges tensors by itself, and every process must come to the same exchanges.

    What one of them fails at inside cannot be told to the others, who wait for something else: it says so
    itself and leaves, and the others find it gone.
    """
    try:
        yield
    except BaseException as problem:  # whatever it is, nothing can be exchanged after it
        _over.set()
        if isinstance(problem, dist.DistError) or "gloo" in str(problem):
            raise GnomonError(_gone(problem)) from problem
        if not leads() and isinstance(problem, Exception):
            log.error("process %d of %d failed", rank(), size(), exc_info=problem)
        raise


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one kind, together at most a bucket; a larger tensor is alone."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        kind = (tensor.dtype, tensor.device)
        bytes_ = sum(other.nbytes for other in bucket) + tensor.nbytes
        if bucket and (bytes_ > BUCKET or (bucket[0].dtype, bucket[0].device) != kind):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def _exchanged(collective: Callable[[], Any]) -> None:
    try:
        collective()
    except RuntimeError as problem:
        _over.set()
        raise GnomonError(_gone(problem)) from problem


def _gone(problem: BaseException) -> str:
    return f"another process is gone ({problem}); start all of them {AGAIN}"


def _tell(problem: BaseException) -> None:
    """Let the others raise it too, unless they know."""
    if _over.is_set():
        return
    told: BaseException = problem
    if isinstance(problem, KeyboardInterrupt | SystemExit):
        told = KeyboardInterrupt()
    elif not isinstance(problem, GnomonError):
        lines = "".join(traceback.format_exception(problem))
        told = RuntimeError(f"process {rank()} of {size()} failed:\n{lines}")
    with suppress(RuntimeError), _signals_held():  # one that is gone need not be told
        dist.all_gather_object([None] * size(), _Failure(told))
    _over.set()


def _exit_code(problem: BaseException) -> int:
    if isinstance(problem, KeyboardInterrupt | SystemExit):
        return INTERRUPTED
    return int(getattr(problem, "exit_code", 1))


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait for the end of the block: after half an exchange the others would hang."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []
    stops = (signal.SIGINT, signal.SIGTERM)
    before = {which: signal.signal(which, lambda number, frame: seen.append(number)) for which in stops}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
    for number in seen:
        signal.raise_signal(number)
