import json

import pytest

from gnomon.runs import RunFolder

PROMPTS = [
    {
        "id": f"p{i}",
        "prompt": f"Tell me about {what}.",
        "checks": [{"kind": "contains_any", "values": [what]}],
    }
    for i, what in enumerate(("owls", "harbours", "clay", "tango"))
]


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in PROMPTS))
    return "--prompts", "prompts.jsonl"


def test_people_get_tables_with_the_baselines_in_them(gnomon, prompts):
    done = gnomon("win-rate", "tiny:0", "tiny:1", *prompts, "--judge", "checks", "--judge", "self=tiny:1")
    assert done.code == 0, done.err
    for told in ("tiny-0 against tiny-1 on 4 prompts", "longest wins", "random", "self *", "Length-adjusted"):
        assert told in done.out
    assert "* self: it is tiny-1 itself" in done.out
    assert "4 answers of tiny-0 were cut off at 256 tokens" in done.out
    assert "warning: judge self is no stranger" in done.err
    assert done.out.endswith("verdicts: runs/win-rate\n")


def test_checks_judge_where_nobody_else_is_named(gnomon, prompts, tmp_path):
    done = gnomon("win-rate", "a=tiny:0", "base=tiny:0", *prompts, "--limit", "2", "--out", "w", "--json")
    summary = json.loads(done.out)
    assert (summary["first"], summary["second"], summary["prompts"]) == ("a", "base", 2)
    assert list(summary["judges"]) == ["checks", "longest wins", "random"]
    assert len((tmp_path / "w" / "rows.jsonl").read_text("utf-8").splitlines()) == 3 * 2


def test_a_folder_that_another_writes_to_is_left_alone(gnomon, prompts, tmp_path):
    with RunFolder(tmp_path / "w").open():
        done = gnomon("win-rate", "tiny:0", "tiny:1", *prompts, "--out", "w")
        assert (done.code, "w is in use by process" in done.err) == (2, True), done.err
        assert [path.name for path in (tmp_path / "w").iterdir()] == [".lock"]


def test_answers_of_an_examination_are_used(gnomon, prompts, tmp_path):
    asked = ("eval", "a=tiny:0", "b=tiny:1", "--suite", "answering=prompts.jsonl", "--out", "w", "--json")
    assert gnomon(*asked).code == 0
    kept = {path: path.read_bytes() for path in (tmp_path / "w" / "replies").rglob("*.jsonl")}
    done = gnomon("win-rate", "a=tiny:0", "b=tiny:1", *prompts, "--out", "w")
    assert done.code == 0, done.err
    assert {path: path.read_bytes() for path in (tmp_path / "w" / "replies").rglob("*.jsonl")} == kept


def test_a_reward_model_that_one_of_both_was_optimised_against_is_named(gnomon, prompts):
    small = ("--model", "tiny:0", "model.dtype=float32", "model.lora.rank=2", "data.limit=8")
    assert gnomon("train", "reward", *small, "--out", "r").code == 0
    steps = ("policy.steps=1", "policy.samples=2", "policy.optim.batch_size=2", "policy.max_new_tokens=4")
    assert gnomon("train", "policy", *small, *steps, "--reward", "r/model", "--out", "p").code == 0
    done = gnomon("win-rate", "tuned=p/model", "plain=tiny:0", *prompts, "--judge", "proxy=r/model", "--json")
    judge = json.loads(done.out)["judges"]["proxy"]
    assert judge["kind"] == "reward"
    assert judge["kin"] == ["tuned was optimised against it", "it goes on from plain"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tiny:0",), "2 values"),
        (("tiny:0", "tiny:0"), "two models are called 'tiny-0'"),
        (("tiny:0", "tiny:1", "--judge", "chekcs"), "judge 'chekcs' is not checks or votes:FILE"),
        (("tiny:0", "tiny:1", "--judge", "votes:none.jsonl"), "no such file of votes"),
        (("tiny:0", "tiny:1", "--judge", "endpoint:x"), "write endpoint:URL#MODEL"),
        (("tiny:0", "tiny:1", "--judge", "random=checks"), "no judge is called longest wins or random"),
    ],
)
def test_what_is_typed_wrong_is_told(gnomon, arguments, told):
    done = gnomon("win-rate", *arguments)
    assert (done.code, told in done.err) == (2, True), done.err
