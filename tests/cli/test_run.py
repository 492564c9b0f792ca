import json


def test_the_whole_road_leaves_a_report_and_is_not_walked_twice(gnomon, tiny_recipe, tmp_path):
    first = gnomon("run", tiny_recipe)
    assert first.code == 0, first.err
    for part in ("Instruction-tuned", "Ends its turn", "policy: gnomon chat runs/small/models/policy\n"):
        assert part in first.out
    assert first.out.endswith("report: runs/small/report.html\n")
    assert "policy: 1/1" in first.err
    assert "policy: started, whole road: about" in first.err
    page = tmp_path / "runs" / "small" / "report.html"
    page.unlink()
    again = gnomon("run", tiny_recipe, "--json")
    assert json.loads(again.out)["run"]["name"] == "small"
    assert "policy: made before" in again.err
    assert "started" not in again.err
    page.unlink()
    assert gnomon("report", "runs/small").out == "runs/small/report.html\n"
    assert page.exists()


def test_it_stops_after_the_stage_it_is_told(gnomon, tiny_recipe):
    done = gnomon("run", tiny_recipe, "--until", "sft", "--out", "r", "seed=1")
    assert done.code == 0, done.err
    assert "sft: finished" in done.err
    assert "reward" not in done.err


def test_a_plan_has_every_stage_and_the_whole(gnomon, tiny_recipe):
    done = gnomon("plan", tiny_recipe, "--json")
    made = json.loads(done.out)
    assert done.code == 0, done.err
    assert [stage["stage"] for stage in made["stages"]][:2] == ["sft", "revise"]
    assert made["total"]["tokens"] == sum(stage["tokens"] for stage in made["stages"])
    assert "the whole road" in gnomon("plan", tiny_recipe).out
