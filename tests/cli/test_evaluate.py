import json

import pytest

from gnomon.cli.evaluate import by_name
from gnomon.errors import ConfigError


def test_models_are_measured_on_a_slice_of_the_suite(gnomon, tmp_path):
    done = gnomon("eval", "tiny:0", "base=tiny:1", "--limit", "3", "--out", "e", "--json")
    assert done.code == 0
    assert {name: m["ends_turn"]["n"] for name, m in json.loads(done.out)["models"].items()} == {
        "tiny-0": 3,
        "base": 3,
    }
    assert len((tmp_path / "e" / "answers.jsonl").read_text("utf-8").splitlines()) == 6


def test_people_get_a_table(gnomon):
    done = gnomon("eval", "tiny:0", "--limit", "2")
    assert "Ends its turn" in done.out
    assert "answers: runs/eval" in done.out


def test_names_are_given_or_made_of_the_reference(tmp_path):
    assert by_name(["a=tiny:0", "tiny:1"]) == {"a": "tiny:0", "tiny-1": "tiny:1"}
    with pytest.raises(ConfigError, match="two models are called 'tiny-0'"):
        by_name(["tiny:0", "tiny:0"])
