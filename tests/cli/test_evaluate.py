import json
import re

import pytest
from pages import Page
from sample_run import write_sample_run

from gnomon.cli.evaluate import by_name
from gnomon.errors import ConfigError
from gnomon.runs import RunFolder


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


def test_suites_leave_what_was_answered_without_them_where_it_is(gnomon, tmp_path):
    assert gnomon("eval", "tiny:0", "--limit", "2").code == 0
    told = (tmp_path / "runs" / "eval" / "summary.json").read_bytes()
    done = gnomon("eval", "tiny:0", "--suite", "knowledge", "--limit", "2", "--max-new-tokens", "4")
    assert "answers: runs/suites" in done.out
    assert (tmp_path / "runs" / "suites" / "rows.jsonl").exists()
    for other, kind in (("runs/eval", ("--suite", "knowledge")), ("runs/suites", ())):
        refused = gnomon("eval", "tiny:0", *kind, "--limit", "2", "--out", other)
        assert (refused.code, "name another folder with --out" in refused.err) == (2, True)
    assert (tmp_path / "runs" / "eval" / "summary.json").read_bytes() == told


def test_models_are_examined_by_suites_and_asked_once(gnomon, tmp_path):
    asked = ("eval", "one=tiny:0", "other=tiny:1", "--suite", "knowledge", "--suite", "refusals")
    asked += ("--limit", "4", "--max-new-tokens", "4", "--out", "e", "--json")
    summary = json.loads(gnomon(*asked).out)
    assert set(summary["suites"]) == {"knowledge", "refusals"}
    found = summary["suites"]["knowledge"]
    assert set(found["models"]) == {"one", "other"}
    assert {"value", "low", "high", "n"} <= set(found["models"]["one"]["accuracy"])
    assert {gap["over"] for gap in found["differences"]} == {"one"}
    rows = [json.loads(line) for line in (tmp_path / "e" / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * 2 * 4
    kept = {path: path.read_text() for path in (tmp_path / "e" / "replies").rglob("*.jsonl")}
    assert len(kept) == 4
    again = json.loads(gnomon(*asked).out)
    assert again["suites"] == summary["suites"]
    assert {path: path.read_text() for path in kept} == kept
    assert gnomon("report", "e").code == 0
    page = Page((tmp_path / "e" / "report.html").read_text("utf-8"))
    assert page.sections() == ["suite-knowledge", "suite-refusals", "costs", "honesty"]
    assert "one tiny:0" in page.text
    assert "Intervals are over prompts" in page.text
    assert re.search(r"[\d.]+ s in all, [\d.]+ GiB of memory at most", page.text)


def test_answers_are_as_long_as_is_said(gnomon, tmp_path):
    for length in (3, 7):
        done = gnomon("eval", "tiny:0", "--limit", "4", "--max-new-tokens", length, "--out", "e")
        assert done.code == 0, done.err
        lines = (tmp_path / "e" / "answers.jsonl").read_text("utf-8").splitlines()
        assert max(json.loads(line)["tokens"] for line in lines) == length


def test_a_folder_that_another_writes_to_is_left_alone(gnomon, tmp_path):
    with RunFolder(tmp_path / "e").open():
        done = gnomon("eval", "tiny:0", "--suite", "knowledge", "--limit", "2", "--out", "e")
        assert (done.code, "e is in use by process" in done.err) == (2, True), done.err
        assert [path.name for path in (tmp_path / "e").iterdir()] == [".lock"]


def test_a_report_is_not_written_among_what_another_writes(gnomon, tmp_path):
    write_sample_run(tmp_path / "run")
    with RunFolder(tmp_path / "run").open():
        done = gnomon("report", "run")
    assert (done.code, "run is in use by process" in done.err) == (2, True), done.err
    assert not (tmp_path / "run" / "report.html").exists()
    assert gnomon("report", "run").code == 0
    assert (tmp_path / "run" / "report.html").exists()
    done = gnomon("report", "nowhere")
    assert (done.code, "nowhere has no summary.json" in done.err) == (3, True), done.err
    assert not (tmp_path / "nowhere").exists()


def test_a_suite_takes_its_prompts_from_its_own_file(gnomon):
    done = gnomon("eval", "tiny:0", "--suite", "all", "--prompts", "mine.jsonl")
    assert done.code == 2
    assert "leave --prompts out" in done.err


def test_names_are_given_or_made_of_the_reference(tmp_path):
    assert by_name(["a=tiny:0", "tiny:1"]) == {"a": "tiny:0", "tiny-1": "tiny:1"}
    with pytest.raises(ConfigError, match="two models are called 'tiny-0'"):
        by_name(["tiny:0", "tiny:0"])
