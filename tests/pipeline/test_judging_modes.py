import json

import pytest
from labellers import pairs

from gnomon.constitution.modes import MODES
from gnomon.errors import ConfigError
from gnomon.pipeline.feedback import SUBJECT
from gnomon.pipeline.judging_modes import judge_modes, known_comparisons
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.rows import write_records
from gnomon.recipe import load_recipe

TRIED = tuple(name for name in MODES if name != "choice-examples-reasoning")
"""All but one, whose requests the tiny model has no room for."""

RECIPE = load_recipe(
    None, ["model.ref=tiny:0", "model.dtype=float32", "constitution.feedback.reasoning_tokens=3"]
)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged")
    write_records(folder / "known.jsonl", pairs(12))
    summary = judge_modes(RECIPE, TRIED, str(folder / "known.jsonl"), None, folder / "out", SilentReporter())
    return folder, summary


def test_every_mode_has_its_figures_beside_what_length_says(judged):
    folder, summary = judged
    assert tuple(summary["modes"]) == TRIED
    assert (summary["pairs"], summary["skipped"]) == (12, [])
    for own in summary["modes"].values():
        assert own["accuracy"]["n"] == 12
        assert own["ece_hard_interval"]["low"] <= own["ece_hard_interval"]["high"]
        assert {"flip_rate", "ece_soft", "ece_clamped", "ece_hard", "longer_wins", "seconds"} <= own.keys()
    assert summary["modes"]["contrast"]["flips_raw"] == 0
    assert summary["baselines"]["longer wins"]["accuracy"]["value"] == 1.0
    assert json.loads((folder / "out" / "summary.json").read_text())["modes"].keys() == set(TRIED)
    rows = [json.loads(line) for line in (folder / "out" / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 12 * len(TRIED)


def test_what_was_asked_is_not_asked_again(judged):
    folder, summary = judged
    asked = (folder / "out" / "asked.jsonl").read_bytes()
    again = judge_modes(RECIPE, TRIED, str(folder / "known.jsonl"), None, folder / "out", SilentReporter())
    assert (folder / "out" / "asked.jsonl").read_bytes() == asked
    for name, own in summary["modes"].items():
        assert {**again["modes"][name], "seconds": 0} == {**own, "seconds": 0}


def test_a_labeller_that_can_be_asked_in_no_mode_leaves_a_summary_that_says_so(tmp_path):
    recipe = load_recipe(None, ["constitution.roles.labeller=endpoint:http://localhost:1/v1#m"])
    summary = judge_modes(recipe, ("contrast",), "builtin", 3, tmp_path / "out", SilentReporter())
    assert (summary["modes"], summary["skipped"]) == ({}, ["contrast"])
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary


def test_modes_share_what_is_the_same_question(judged):
    """The plain choice and that of one order are within the ensemble."""
    folder, _ = judged
    asked = (folder / "out" / "asked.jsonl").read_text().splitlines()
    plain = 12 * 2 * 4  # orders and principles of an ensemble
    contrast, chains = 12 * 4, 12 * 2
    assert len(asked) == 2 * plain + contrast + chains


@pytest.mark.parametrize(
    ("labeller", "told"),
    [("truth:0.1", "reads no principle; name a model"), ("trained_judge", "which a road trains before")],
)
def test_a_labeller_that_reads_no_principles_is_refused_before_anything_is_asked(tmp_path, labeller, told):
    recipe = load_recipe(None, ["model.ref=tiny:0", f"constitution.roles.labeller={labeller}"])
    with pytest.raises(ConfigError, match=told):
        judge_modes(recipe, TRIED, "builtin", 1, tmp_path / "out", SilentReporter())
    assert not (tmp_path / "out").exists()


def test_built_in_comparisons_are_those_a_constitution_speaks_about():
    rows, dropped = known_comparisons("builtin", 40, 0)
    assert dropped == {}
    assert len(rows) == 40
    assert {row.label.reason for row in rows} <= set(SUBJECT)
    assert len({row.label.preference for row in rows}) == 2
    assert known_comparisons("builtin", 40, 0)[0] == rows


def test_published_comparisons_of_helpful_honest_harmless_are_read(published):
    rows, _ = known_comparisons(str(published("hhh/hhh-half-a.jsonl")), None, 0)
    assert len(rows) > 100
    assert {row.label.source for row in rows} == {"person"}
    assert 0.4 < sum(row.label.preference for row in rows) / len(rows) < 0.6
    assert all(row.prompt.messages[0].role == "user" for row in rows)
