import json
import math

from gnomon.data.formats import load
from gnomon.records import Comparison, from_json


def test_pairs_are_written_to_wait_for_a_label(gnomon, tmp_path):
    done = gnomon("collect", "--policy", "tiny:0", "--pairs", "3", "--out", "pairs.jsonl")
    assert done.code == 0
    assert "3 pairs wait for a label in pairs.jsonl" in done.out
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text("utf-8").splitlines()]
    pairs = [from_json(Comparison, row) for row in rows]
    assert all(pair.label is None and pair.first != pair.second for pair in pairs)
    assert list(load(tmp_path / "pairs.jsonl").records) == pairs


def test_a_file_that_is_there_is_never_written_over(gnomon, tmp_path):
    (tmp_path / "pairs.jsonl").write_text("labels")
    done = gnomon("collect", "--policy", "tiny:0", "--pairs", "1")
    assert done.code == 2
    assert "perhaps with labels" in done.err
    assert (tmp_path / "pairs.jsonl").read_text() == "labels"


def test_a_prompt_longer_than_the_context_is_told(gnomon, tmp_path):
    (tmp_path / "long.jsonl").write_text(json.dumps({"prompt": "a" * 3000}))
    done = gnomon("collect", "--policy", "tiny:0", "--pairs", "1", "--prompts", "long.jsonl")
    assert done.code == 3
    assert "beyond the model's context of 2048" in done.err
    assert not (tmp_path / "pairs.jsonl").exists()


def test_what_an_endpoint_answered_before_it_failed_is_not_asked_for_again(gnomon, server, tmp_path):
    (tmp_path / "asked.jsonl").write_text('{"prompt": "1+1?"}\n{"prompt": "Name a colour."}\n')
    kept = tmp_path / ".pairs.jsonl.answers"
    command = ("collect", "--policy", server.ref, "--pairs", "12", "--prompts", "asked.jsonl")
    server.limit = 10
    failed = gnomon(*command)
    assert (failed.code, "HTTP 400 no more" in failed.err) == (2, True)
    answers, asked = len(kept.read_text().splitlines()), len(server.seen)
    assert 0 < answers <= 10
    server.limit = math.inf
    assert gnomon(*command).code == 0
    wanted = {json.dumps(body, sort_keys=True) for _, body, _ in server.seen}
    assert len(server.seen) - asked == len(wanted) - answers
    assert len((tmp_path / "pairs.jsonl").read_text("utf-8").splitlines()) == 12
    assert not kept.exists()


def test_pairs_are_added_to_a_project_and_not_twice(gnomon, tmp_path):
    assert gnomon("label", "init", "talk", "--set", "gold_rate=0").code == 0
    command = ("collect", "--policy", "tiny:0", "--pairs", "3", "--project", "talk")
    done = gnomon(*command)
    assert (done.code, "3 pairs of this round are in talk, 3 of them new" in done.out) == (0, True), done.err
    assert json.loads(gnomon(*command, "--json").out) == {
        "project": "talk", "pairs": 3, "added": 0, "skipped": {},
    }  # fmt: skip
    assert not (tmp_path / "pairs.jsonl").exists()
    simulated = gnomon("label", "simulate", "talk", "--annotators", "2", "--spammers", "0", "--json")
    assert json.loads(simulated.out)["items"] == {"ordinary": 3}


def test_a_project_and_a_file_are_not_both_filled(gnomon):
    done = gnomon("collect", "--policy", "tiny:0", "--pairs", "1", "--project", "talk", "--out", "x.jsonl")
    assert (done.code, "give one of them" in done.err) == (2, True)
    done = gnomon("collect", "--policy", "tiny:0", "--pairs", "1", "--project", "talk")
    assert (done.code, "or make one with gnomon label init" in done.err) == (2, True)


def test_what_an_endpoint_answered_before_it_failed_is_in_the_project(gnomon, server, tmp_path):
    (tmp_path / "asked.jsonl").write_text('{"prompt": "1+1?"}\n{"prompt": "Name a colour."}\n')
    gnomon("label", "init", "talk")
    command = ("collect", "--policy", server.ref, "--pairs", "12", "--prompts", "asked.jsonl")
    command += ("--project", "talk", "--json")
    server.limit = 10
    assert gnomon(*command).code == 2
    asked, answers = len(server.seen), len((tmp_path / ".talk.answers").read_text().splitlines())
    assert answers > 0
    server.limit = math.inf
    assert json.loads(gnomon(*command).out)["added"] == 12
    wanted = {json.dumps(body, sort_keys=True) for _, body, _ in server.seen}
    assert len(server.seen) - asked == len(wanted) - answers
    again = len(server.seen)
    assert json.loads(gnomon(*command).out)["added"] == 0
    assert len(server.seen) == again
    assert not (tmp_path / ".talk.answers").exists()
