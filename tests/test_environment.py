"""What libraries under torch read from the environment, as they say themselves."""

import os
import subprocess
import sys

import pytest

from gnomon import SHAPES, SPINS


@pytest.mark.parametrize(("set_to", "read"), [(None, SPINS), ("77", "77")])
def test_threads_that_wait_sleep_soon_unless_told_otherwise(set_to: str | None, read: str):
    known = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    asked = {"OMP_DISPLAY_ENV": "verbose"} | ({} if set_to is None else {"GOMP_SPINCOUNT": set_to})
    command = [sys.executable, "-c", "import gnomon.kernels.head"]
    done = subprocess.run(command, env=known | asked, capture_output=True, text=True, check=True)
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("torch runs its threads by another library than libgomp here")
    assert f"GOMP_SPINCOUNT = '{read}'" in done.stderr


PRODUCTS = """
import gnomon, torch
for _ in range(2):
    for rows in range(1, {shapes} + 1):
        torch.ones(rows, 32, dtype=torch.bfloat16) @ torch.ones(32, 32, dtype=torch.bfloat16)
"""


@pytest.mark.parametrize(("set_to", "made"), [(None, 2), ("1024", 1)])
def test_code_for_shapes_that_are_gone_is_let_go_unless_told_otherwise(set_to: str | None, made: int):
    name, shapes = "ONEDNN_PRIMITIVE_CACHE_CAPACITY", int(SHAPES) + 8
    known = {key: value for key, value in os.environ.items() if key != name}
    asked = {"ONEDNN_VERBOSE": "2"} | ({} if set_to is None else {name: set_to})
    command = [sys.executable, "-c", PRODUCTS.format(shapes=shapes)]
    done = subprocess.run(command, env=known | asked, capture_output=True, text=True, check=True)
    misses = done.stdout.count("create:cache_miss")
    if not misses:
        pytest.skip("torch multiplies bfloat16 without oneDNN here")
    assert misses == pytest.approx(made * shapes, rel=0.1)
