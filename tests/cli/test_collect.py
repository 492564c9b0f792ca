import json

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
