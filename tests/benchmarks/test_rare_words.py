"""What taking rare words together costs is measured in every way it could be done."""

from types import ModuleType

import pytest

from rare_words import run as script


@pytest.fixture(scope="module")
def run() -> ModuleType:
    script.DEMONSTRATIONS = 4
    return script


def test_errors_are_told_of_every_way(run: ModuleType):
    results = run.measure("tiny:0")
    assert set(results["ways"]) == set(run.WAYS)
    assert results["ways"]["every word"]["words"] == 1
    for way in results["ways"].values():
        assert 0 < way["words"] <= 1
        assert 0 < way["rows"] < 0.1
