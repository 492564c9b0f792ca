"""The README's commands, run as they stand, in a copy of what a clone holds."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- test: (fast|slow) -->\n```bash\n(.*?)```", re.S)


def blocks(speed: str) -> list[str]:
    return [text for marked, text in BLOCK.findall(README) if marked == speed]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files the README names, without what git would not bring."""
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    builtin = Path("src", "gnomon", "data", "builtin")
    shutil.copytree(ROOT / builtin, tmp_path / builtin)
    return tmp_path


def bash(script: str, folder: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("script", blocks("fast"))
def test_the_fast_commands_run(script: str, clone: Path):
    bash(script, clone)
    assert (clone / "runs" / "tiny" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("script", blocks("slow"))
def test_the_demo_runs(script: str, clone: Path):
    bash(script, clone)
    assert (clone / "runs" / "demo" / "report.html").is_file()


def test_make_demo_is_the_command_the_readme_gives():
    make = [
        "make",
        "--no-print-directory",
        "--dry-run",
        "-o",
        "pyproject.toml",
        "demo",
        "INSTALLED=pyproject.toml",
        "BIN=bin",
    ]
    recipe = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert recipe.split("bin/", 1)[1].strip() in [script.strip() for script in blocks("slow")]


def test_every_target_the_documentation_names_is_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    texts = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)$", texts, re.M))
    assert named
    assert {one or other for one, other in named} <= targets
