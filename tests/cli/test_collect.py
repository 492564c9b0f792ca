import json
import math

from serving import local_engine, running

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


def test_what_an_endpoint_answered_before_it_failed_is_not_asked_for_again(gnomon, tmp_path):
    (tmp_path / "asked.jsonl").write_text('{"prompt": "1+1?"}\n{"prompt": "Name a colour."}\n')
    kept = tmp_path / ".pairs.jsonl.answers"
    with running(local_engine()) as server:
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
