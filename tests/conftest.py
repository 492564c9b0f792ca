"""Where the published files are that some tests read; and Ctrl-C as a terminal gives it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(os.environ.get("GNOMON_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
"""Published files as they are; set GNOMON_TEST_DATA where they are elsewhere."""

# A shell starts what runs in the background deaf to Ctrl-C, and its children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def published() -> Callable[[str], Path]:
    """The path of a published file by its name below DATA; the test is skipped where there is none."""

    def find(name: str) -> Path:
        if not (DATA / name).exists():
            pytest.skip(f"{DATA / name} is not there; set GNOMON_TEST_DATA")
        return DATA / name

    return find
