"""The README's commands, run as they stand, in a copy of what a clone holds."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_fast_commands_run(clone, commands):
    clone.bash(commands("fast"))
    assert (clone.folder / "runs" / "tiny" / "report.html").is_file()


def test_make_demo_is_the_command_the_readme_gives(commands):
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
    assert recipe.split("bin/", 1)[1].strip() == commands("slow").strip()


def test_every_target_the_documentation_names_is_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    texts = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md"))
    named = set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)$", texts, re.M))
    assert named
    assert {one or other for one, other in named} <= targets
