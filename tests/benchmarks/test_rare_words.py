"""What taking rare words together costs is measured in every way it could be done."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "rare_words" / "run.py"


@pytest.fixture(scope="module")
def run() -> ModuleType:
    spec = spec_from_file_location("rare_words", SCRIPT)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.DEMONSTRATIONS = 4
    return module


def test_errors_are_told_of_every_way(run: ModuleType):
    results = run.measure("tiny:0")
    assert set(results["ways"]) == set(run.WAYS)
    assert results["ways"]["every word"]["words"] == 1
    for way in results["ways"].values():
        assert 0 < way["words"] <= 1
        assert 0 < way["rows"] < 0.1
