import json

GOOD = "name: mine\nprinciples:\n- {id: kind, text: It is kind., comparison: Which is the kinder}\n"


def test_the_principles_are_shown(gnomon):
    done = gnomon("constitution", "show")
    assert done.code == 0
    assert "revision, comparison" in done.out
    shown = json.loads(gnomon("constitution", "show", "--json").out)
    assert f"digest {shown['digest']}" in done.out
    assert all(principle["text"] for principle in shown["principles"])


def test_lint_says_what_a_file_can_be_used_for(gnomon, tmp_path):
    (tmp_path / "c.yaml").write_text(GOOD + "- {id: idle, text: It is.}\n")
    done = gnomon("constitution", "lint", "c.yaml")
    assert done.code == 0
    assert "mine, version 1: 2 principles" in done.out
    assert "0 serve critique and revision, 1 serve comparison" in done.out
    assert "principle 'idle' has no requests" in done.err


def test_lint_stops_at_what_is_wrong(gnomon, tmp_path):
    (tmp_path / "c.yaml").write_text(GOOD.replace("text", "txt"))
    done = gnomon("constitution", "lint", "c.yaml")
    assert done.code == 3
    assert "principle 'kind'" in done.err


def test_a_model_revises_its_answers(gnomon, tmp_path):
    small = ("data.limit=4", "constitution.max_new_tokens=4", "model.dtype=float32")
    done = gnomon("constitution", "revise", "--model", "tiny:0", *small, "--out", "v")
    assert done.code == 0, done.err
    assert len((tmp_path / "v" / "critiques.jsonl").read_text("utf-8").splitlines()) == 4
