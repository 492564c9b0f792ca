"""Where published files are, and tensors; a server; the README's commands; Ctrl-C; exact sums."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from serving import Server

    from gnomon.rollouts.local import LocalEngine

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("GNOMON_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
"""Published files as they are; set GNOMON_TEST_DATA where they are elsewhere."""

DEVICES = [pytest.param("cpu", id=pytest.HIDDEN_PARAM)]
if torch.cuda.is_available():
    DEVICES.append(pytest.param("cuda", marks=pytest.mark.cuda))

# A shell starts what runs in the background deaf to Ctrl-C, and its children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    """Where a test puts its tensors: the processor and, under the mark `cuda`, a GPU where there is one."""
    return torch.device(request.param)


@pytest.fixture
def published() -> Callable[[str], Path]:
    """The path of a published file by its name below DATA; the test is skipped where there is none."""

    def find(name: str) -> Path:
        if not (DATA / name).exists():
            pytest.skip(f"{DATA / name} is not there; set GNOMON_TEST_DATA")
        return DATA / name

    return find


@pytest.fixture
def float64_throughout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Norms and softmax of transformers are float32 whatever the model is, and round: not here."""
    to, softmax = torch.Tensor.to, torch.nn.functional.softmax

    def kept(tensor, *args, **more):
        wide = tensor.dtype == torch.float64 and args == (torch.float32,)
        return tensor if wide else to(tensor, *args, **more)

    monkeypatch.setattr(torch.Tensor, "to", kept)
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: kept(tensor, torch.float32))
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, dtype=None: softmax(x, dim=dim))


@pytest.fixture(scope="session")
def local() -> "LocalEngine":
    """The model that servers answer from."""
    from serving import local_engine  # noqa: PLC0415  most tests need no model

    return local_engine()


@pytest.fixture
def server(local: "LocalEngine") -> Iterator["Server"]:
    """A server on this machine, as long as the test lasts."""
    from serving import running  # noqa: PLC0415  as above

    with running(local) as it:
        yield it


@dataclass(frozen=True)
class Clone:
    """A folder with the files the README names, without what git would not bring."""

    folder: Path

    def bash(self, script: str) -> str:
        """Run commands there, which must succeed; what they wrote to standard output."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """What a clone of the repository holds."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    builtin = Path("src", "gnomon", "data", "builtin")
    shutil.copytree(ROOT / builtin, folder / builtin)
    return Clone(folder)


@pytest.fixture(scope="session")
def commands() -> Callable[[str], str]:
    """The README's commands that are marked as fast, or as slow."""

    def find(speed: str) -> str:
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        (block,) = re.findall(rf"<!-- test: {speed} -->\n```bash\n(.*?)```", readme, re.S)
        return str(block)

    return find
