"""The device that a side works on: when it is done, and how much memory it holds. Nothing here but torch, as
both environments import it."""

import gc

import torch

from worker import Message, Side, held


def loaded(device: str) -> int:
    """Bytes in use on the device."""
    if device == "cpu":
        return held()
    gc.collect()
    return torch.cuda.memory_allocated()


def memory() -> Message:
    """The most that tensors on a GPU held since it was last asked, in bytes; counting starts afresh."""
    peak = torch.cuda.max_memory_allocated()
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return {"peak": peak}


def on(device: str, side: Side) -> Side:
    """The side; on a GPU a step ends when all it asked for is done, and memory is what its tensors hold."""
    if device == "cuda":
        side.finish = torch.cuda.synchronize
        side.answers |= {"memory": memory}
    return side
