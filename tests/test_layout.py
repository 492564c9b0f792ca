"""House rules that no other tool holds."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "gnomon"
LONGEST = 400
ABSOLUTE = re.compile(r"(?<![\w.>])/(?:home|root|tmp|work|opt|mnt|Users)/\w")
"""A path that only some machine has."""


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def plain(requirement: str) -> str:
    """A requirement's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=\[; ]", requirement, maxsplit=1)[0]).lower()


def imported(path: Path) -> Iterator[str]:
    """Top-level names of the modules a file imports, wherever in it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize(
    "path", sources("src", "tests", "benchmarks"), ids=lambda p: str(p.relative_to(ROOT))
)
def test_no_file_is_too_long_to_read(path: Path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{path.relative_to(ROOT)} has {lines} lines: split it along a real seam"


def test_every_package_says_what_it_is():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    silent = [
        folder.name
        for folder in folders
        if not (folder / "__init__.py").exists() or not ast.get_docstring(tree(folder / "__init__.py"))
    ]
    assert not silent


def test_only_the_command_line_prints():
    printing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources("src")
        if "cli" not in path.relative_to(PACKAGE).parts
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not printing


def local() -> set[str]:
    """Modules and folders of modules that tests and benchmarks import from one another."""
    found = {path.stem for path in sources("tests", "benchmarks")}
    return found | {path.parent.name for path in sources("benchmarks")}


def outside(*folders: str) -> set[str]:
    """The packages that the files of some folders import, by the names they are installed under."""
    files = sources(*folders)
    names = {name for path in files for name in imported(path)} - sys.stdlib_module_names
    names -= {"gnomon", *local()}
    installed = packages_distributions()
    return {plain(installed[name][0]) if name in installed else plain(name) for name in names}


def test_what_is_imported_is_what_is_declared():
    declared = {plain(requirement) for requirement in project()["dependencies"]}
    extras = {plain(r) for group in project()["optional-dependencies"].values() for r in group}
    assert outside("src") - declared <= extras, "imported, not declared"
    assert declared <= outside("src"), "declared, not imported"
    peers = {plain(r) for r in (ROOT / "benchmarks" / "peers.txt").read_text().splitlines() if r[:1] != "#"}
    assert outside("tests", "benchmarks") <= declared | extras | peers, "imported by tests, not declared"


def test_every_requirement_has_its_exact_version():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert all(re.fullmatch(r"[\w.]+", version) for version in pins.values()), "no local builds, no ranges"
    extras = [r for group in project()["optional-dependencies"].values() for r in group]
    missing = {plain(r) for r in [*project()["dependencies"], *extras]} - {plain(name) for name in pins}
    assert not missing


def test_no_path_of_one_machine_is_written_down():
    texts = [
        ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "pyproject.toml")
    ]
    texts += [
        *sources("src", "tests", "benchmarks"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("recipes/*.yaml"),
    ]
    named = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in texts
        for match in ABSOLUTE.finditer(path.read_text(encoding="utf-8"))
    }
    assert not named


CHECKS = {"raises", "assert_close", "check_head"}
"""What fails by itself where it is called."""
LOOSE = {"rtol", "rel"}
"""Settings of a comparison that are shares of what is compared."""


def called(node: ast.AST) -> set[str]:
    """The names of what is called somewhere in a piece of code."""
    calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
    return {f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in calls}


@pytest.mark.mistake("tests-that-cannot-fail")
def test_every_test_can_fail():
    """It asserts something, itself or by a function of the tests that does."""
    functions = [
        (path, node)
        for path in sources("tests")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef)
    ]
    checking = CHECKS | {
        node.name
        for _, node in functions
        if any(isinstance(part, ast.Assert) for part in ast.walk(node)) or called(node) & CHECKS
    }
    idle = [
        f"{path.relative_to(ROOT)}::{node.name}"
        for path, node in functions
        if node.name.startswith("test_") and node.name not in checking and not called(node) & checking
    ]
    assert not idle


@pytest.mark.mistake("tests-that-cannot-fail")
def test_no_tolerance_lets_everything_pass():
    """A relative one of 1 calls any number equal to 0, and 2 calls it equal to its opposite."""
    loose = [
        f"{path.relative_to(ROOT)}:{node.value.lineno}"
        for path in sources("tests")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.keyword) and node.arg in LOOSE and isinstance(node.value, ast.Constant)
        if float(node.value.value or 0) > 0.5
    ]
    assert not loose


@pytest.mark.parametrize("package", ["losses", "stats"])
@pytest.mark.mistake("tests-that-cannot-fail")
def test_every_loss_and_statistic_has_tests_of_its_own(package):
    """Each public function is called by the file of tests that mirrors its own."""
    untested = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in sorted((PACKAGE / package).glob("*.py"))
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        if node.name not in called(tree(ROOT / "tests" / package / f"test_{path.stem}.py"))
    ]
    assert not untested
