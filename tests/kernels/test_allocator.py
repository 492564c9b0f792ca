import subprocess
import sys

import pytest

ASK = "from gnomon.kernels.allocator import settle; print(settle())"


def settled(**environment):
    done = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, check=True)
    return done.stdout.decode().strip() == "True"


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is Linux's")
def test_glibc_takes_the_settings():
    """In a process of its own: the settings stay."""
    assert settled()


def test_free_memory_is_given_back():
    script = (
        "import gc, psutil, torch; from gnomon.kernels.allocator import release, settle; settle();"
        "held = lambda: psutil.Process().memory_info().rss >> 20;"
        "x = torch.ones(64 << 20); before = held(); del x; gc.collect(); kept = held(); release();"
        "print(before - kept < 100, before - held() > 200)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().split() == ["True", "True"]


def test_a_person_can_keep_their_own_allocator():
    assert not settled(GNOMON_ALLOCATOR="system")
