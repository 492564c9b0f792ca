"""Half of a training step on a CPU can be page faults: glibc hands large buffers back to the kernel and asks
for them again. Told to keep them, it does the same work in a fraction of the time."""

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8
KEEP_BYTES = (1 << 31) - 1
TOP_PAD_BYTES = 1 << 28


def release() -> None:
    """Give memory that is free now back to the system, between one piece of work and the next."""
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def settle() -> bool:
    """Keep freed memory in the process; call once, before the first large tensor. True where it took effect.

    Does what MALLOC_MMAP_MAX_=0, MALLOC_ARENA_MAX=1, MALLOC_TRIM_THRESHOLD_ and MALLOC_TOP_PAD_ do when set
    before the process starts (glibc's mallopt(3)). GNOMON_ALLOCATOR=system leaves the allocator alone, as
    does another libc.
    """
    if sys.platform != "linux" or os.environ.get("GNOMON_ALLOCATOR") == "system":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = (
        (M_MMAP_MAX, 0),
        (M_TRIM_THRESHOLD, KEEP_BYTES),
        (M_TOP_PAD, TOP_PAD_BYTES),
        (M_ARENA_MAX, 1),  # what one thread has freed another takes
    )
    return all(bool(mallopt(key, value)) for key, value in wanted)
