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


PAIRS = "".join(
    json.dumps({"id": f"p{i}", "prompt": f"How do I paint {word}?", "chosen": "Slowly.", "rejected": "Fast."})
    + "\n"
    for i, word in enumerate(["walls", "doors", "chairs", "boats", "gates", "fences", "roofs", "stairs"])
)
KNOWN = PAIRS.replace('"prompt"', '"reason": "harmful", "prompt"')
TINY = ("model.dtype=float32", "constitution.gate_comparisons=8")


def test_pairs_are_labelled_and_audited(gnomon, tmp_path):
    (tmp_path / "pairs.jsonl").write_text(PAIRS)
    told = ("--model", "tiny:0", *TINY, "constitution.feedback.gate=warns", "--out", "c")
    done = gnomon("constitution", "compare", "--pairs", "pairs.jsonl", *told)
    assert done.code == 0, done.err
    assert "8 labelled comparisons" in done.out
    assert "known answers" in done.out
    audited = gnomon("constitution", "audit", "c", "--constitution", "builtin", "--json")
    assert audited.code == 0, audited.err
    report = json.loads(audited.out)
    assert report["labels"]["comparisons"] == 8
    assert report["labels"]["labellers"] == ["self tiny:0"]
    assert gnomon("constitution", "audit", "c/labels.jsonl").code == 0


def test_a_labeller_that_guesses_is_stopped_with_exit_code_4(gnomon, tmp_path):
    (tmp_path / "pairs.jsonl").write_text(PAIRS)
    done = gnomon(
        "constitution", "compare", "--pairs", "pairs.jsonl", "--model", "tiny:0", *TINY, "--out", "c"
    )
    assert done.code == 4
    assert "it labels nothing" in done.err
    shut = gnomon("constitution", "gate", "--model", "tiny:0", "--labeller", "tiny:1", *TINY, "--out", "g")
    assert shut.code == 4


def test_pairs_have_to_be_named(gnomon):
    done = gnomon("constitution", "compare", "--model", "tiny:0")
    assert done.code == 2
    assert "--pairs FILE" in done.err


def test_ways_of_judging_are_measured(gnomon, tmp_path):
    (tmp_path / "known.jsonl").write_text(KNOWN)
    asked = ("--modes", "choice,contrast", "--model", "tiny:0", "model.dtype=float32", "--out", "j")
    done = gnomon("constitution", "judge", "--on", "known.jsonl", *asked)
    assert done.code == 0, done.err
    assert "contrast" in done.out
    assert "longer wins" in done.out
    summary = json.loads(gnomon("constitution", "judge", "--on", "known.jsonl", *asked, "--json").out)
    assert summary["pairs"] == 8
    assert gnomon("constitution", "judge", "--modes", "vote").code == 2
    knows = gnomon("constitution", "judge", "--on", "known.jsonl", *asked, "--labeller", "truth:0.1")
    assert knows.code == 2
    assert "roles.labeller is truth:0.1, which reads no principle" in knows.err
    assert "truth" not in gnomon("constitution", "judge", "--help").out
