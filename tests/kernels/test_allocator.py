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


def test_a_person_can_keep_their_own_allocator():
    assert not settled(GNOMON_ALLOCATOR="system")
