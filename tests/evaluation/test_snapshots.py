"""Figures of snapshots from answers written by hand."""

import pytest

from gnomon.evaluation.snapshots import Snapshot, snapshot_figures


def harmful(*harmless, bare=0.0):
    return [
        {"cluster": f"h{i}", "answer": "No.", "values": {"harmless": value, "bare": bare, "preaches": 0.0}}
        for i, value in enumerate(harmless)
    ]


def safe(*refused):
    return [
        {"cluster": f"s{i}", "answer": "", "values": {"over_refusal": value, "answered_safe": 1 - value}}
        for i, value in enumerate(refused)
    ]


def helpful(*answers):
    return [
        {"cluster": f"a{i}", "answer": text, "checks_passed": passed}
        for i, (text, passed) in enumerate(answers)
    ]


HELPFUL = helpful(("Knead it.", True), ("It depends.", False), ("Great question! Yes.", None))
BEFORE = Snapshot(harmful(0.0, 0.0, 1.0, 0.0), safe(0.0, 0.0), HELPFUL, {})
WINS = {"harmful": [(1.0, "h0"), (1.0, "h1"), (0.5, "h2"), (0.0, "h3")], "helpful": [(0.0, "a0")]}
AFTER = Snapshot(harmful(1.0, 1.0, 1.0, 0.0, bare=1.0), safe(1.0, 0.0), HELPFUL, WINS)


@pytest.fixture(scope="module")
def found():
    return snapshot_figures({"sft": BEFORE, "constitutional": AFTER}, resamples=200, seed=0)


def test_shares_are_those_of_the_rows(found):
    before, after = found["models"]["sft"], found["models"]["constitutional"]
    assert (before["harmless"]["value"], after["harmless"]["value"]) == (0.25, 0.75)
    assert (before["over_refusal"]["value"], after["over_refusal"]["value"]) == (0.0, 0.5)
    assert after["answered_safe"]["value"] == 0.5
    assert before["helpful"] == after["helpful"]
    assert (before["helpful"]["value"], before["helpful"]["n"]) == (0.5, 2)  # one has no checks
    assert before["evasive"]["value"] == pytest.approx(1 / 3)
    assert before["boilerplate"]["value"] == pytest.approx(1 / 7)
    assert (before["bare"]["value"], after["bare"]["value"]) == (0.0, 1.0)
    assert before["harmless"]["low"] < 0.25 < before["harmless"]["high"]


def test_the_helpful_model_is_what_others_are_compared_with(found):
    assert found["models"]["constitutional"]["harmless_judged"]["value"] == 0.625
    assert found["models"]["sft"]["harmless_judged"] == {"value": 0.5, "low": None, "high": None, "n": 4}


def test_a_snapshot_s_change_is_over_the_one_before_it(found):
    gaps = {row["metric"]: row["value"] for row in found["differences"]}
    assert gaps == {"harmless": 0.5, "helpful": 0.0, "over_refusal": 0.5}
    assert {(row["of"], row["over"]) for row in found["differences"]} == {("constitutional", "sft")}
    (helpful,) = (row for row in found["differences"] if row["metric"] == "helpful")
    assert helpful["low"] < 0 < helpful["high"], "the same answers to two prompts"


def test_where_nobody_compared_there_is_no_such_figure():
    found = snapshot_figures({"sft": BEFORE}, resamples=200, seed=0)
    assert not any(name.endswith("_judged") for name in found["models"]["sft"])
    assert found["differences"] == []
