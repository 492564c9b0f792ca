import json


def test_answers_stand_side_by_side_and_then_the_differences(gnomon):
    done = gnomon("compare", "tiny:0", "tiny:1", "--limit", "3")
    assert done.code == 0
    assert done.out.count("╭") == 3
    assert "Second minus first" in done.out
    for title in ("passes 0 of 2 checks", "Ends its turn", "Length (tokens)", "0.0 pts"):
        assert title in done.out


def test_json_has_every_pair(gnomon):
    done = gnomon("compare", "tiny:0", "tiny:0", "--limit", "2", "--raw-first", "--json")
    compared = json.loads(done.out)
    assert (compared["first"], compared["second"]) == ("tiny:0 (raw)", "tiny:0")
    assert [[row["model"] for row in pair] for pair in compared["pairs"]] == [["tiny:0 (raw)", "tiny:0"]] * 2
    assert all(first["prompt_id"] == second["prompt_id"] for first, second in compared["pairs"])
    # the same weights, but one of them under a chat template
    assert any(first["answer"] != second["answer"] for first, second in compared["pairs"])


def test_near_duplicate_prompts_are_one_cluster(gnomon, tmp_path):
    asked = (
        "Tell me about the old owl in the barn.",
        "Name a river.",
        "Tell me about the old owl in the barn!",
    )
    rows = [{"id": f"p{i}", "prompt": text} for i, text in enumerate(asked)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = gnomon("compare", "tiny:0", "tiny:1", "--prompts", "p.jsonl", "--json")
    clusters = {row["prompt_id"]: row["cluster"] for pair in json.loads(done.out)["pairs"] for row in pair}
    assert clusters["p0"] == clusters["p2"] != clusters["p1"]


def test_a_model_is_not_compared_with_itself(gnomon):
    done = gnomon("compare", "tiny:0", "tiny:0")
    assert done.code == 2
    assert "--raw-first" in done.err


def test_what_a_prompt_says_is_never_taken_for_markup(gnomon, tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps({"prompt": "[red]what[/red] \x1b[31mis it"}))
    done = gnomon("compare", "tiny:0", "tiny:1", "--prompts", "p.jsonl")
    assert "[red]what[/red] ␛[31mis it" in done.out
    assert "\x1b" not in done.out
