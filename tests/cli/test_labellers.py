import json

ASKED = ("--labeller", "truth:0", "--labeller", "self", "--out", "l", "policy.steps=1")


def test_a_road_is_walked_with_each_labeller(gnomon, tiny_recipe, tmp_path):
    done = gnomon("constitution", "labellers", tiny_recipe, *ASKED)
    assert done.code == 0, done.err
    assert "truth:0" in done.out
    assert "Harmless" in done.out
    assert done.err.count(" sft: started") == 1
    rows = json.loads(gnomon("constitution", "labellers", tiny_recipe, *ASKED, "--json").out)["labellers"]
    assert [row["labeller"] for row in rows] == ["truth:0", "self"]
    assert {path.name for path in (tmp_path / "l" / "labellers").iterdir()} == {
        *("truth-0.json", "truth-0.html", "self.json", "self.html")
    }


def test_who_labels_is_checked_before_anything_is_made(gnomon, tiny_recipe, tmp_path):
    for labeller, told in (("nobody", "nobody"), ("truth:2", "from 0 to 1")):
        done = gnomon("constitution", "labellers", tiny_recipe, "--labeller", labeller, "--out", "l")
        assert done.code == 2
        assert told in done.err
    assert not (tmp_path / "l").exists()


def test_the_truth_passes_its_gate_and_a_judge_needs_a_road(gnomon):
    tiny = ("--model", "tiny:0", "model.dtype=float32", "constitution.gate_comparisons=16", "--out", "g")
    done = gnomon("constitution", "gate", "--labeller", "truth:0", *tiny)
    assert done.code == 0, done.err
    assert "truth with noise 0" in done.out
    done = gnomon("constitution", "gate", "--labeller", "trained_judge", *tiny)
    assert done.code == 2
    assert "a road trains before it labels" in done.err
