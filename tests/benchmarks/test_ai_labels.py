"""The benchmark of labelling runs the command, on pairs that are told apart."""

from ai_labels import run as script


def test_the_command_is_timed_on_all_pairs():
    found = script.measure("tiny:0", 12)
    assert found["pairs"] == 12
    assert found["seconds"] > 0
    assert found["peak_mib"] > 100


def test_a_thousand_pairs_are_a_thousand():
    rows = script.pairs(script.PAIRS)
    assert len({(row["prompt"], row["chosen"], row["rejected"]) for row in rows}) == script.PAIRS
    assert all(row["chosen"] != row["rejected"] for row in rows)
    assert rows == script.pairs(script.PAIRS)
