"""How long threads wait awake, as the library that runs them says itself when it is loaded."""

import os
import subprocess
import sys

import pytest

from gnomon import SPINS


@pytest.mark.parametrize(("set_to", "read"), [(None, SPINS), ("77", "77")])
def test_threads_that_wait_sleep_soon_unless_told_otherwise(set_to: str | None, read: str):
    known = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    asked = {"OMP_DISPLAY_ENV": "verbose"} | ({} if set_to is None else {"GOMP_SPINCOUNT": set_to})
    command = [sys.executable, "-c", "import gnomon.kernels.head"]
    done = subprocess.run(command, env=known | asked, capture_output=True, text=True, check=True)
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("torch runs its threads by another library than libgomp here")
    assert f"GOMP_SPINCOUNT = '{read}'" in done.stderr
