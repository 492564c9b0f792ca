import json

SMALL = ("constitution=null", "policy.steps=1", "data.limit=24", "--out", "s")


def test_recipes_are_walked_beside_one_another(gnomon, tiny_recipe, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(f"extends: {tiny_recipe}\nname: other\npolicy: {{algorithm: grpo}}\n")
    done = gnomon("sweep", tiny_recipe, other, "--seeds", "1", *SMALL)
    assert done.code == 0, done.err
    assert "Over instruction-tuned" in done.out
    assert "other" in done.out
    told = json.loads(gnomon("sweep", tiny_recipe, other, "--seeds", "1", *SMALL, "--json").out)
    assert [row["recipe"] for row in told["sweep"]] == ["small", "other"]
    assert told["sweep"] == json.loads((tmp_path / "s" / "sweep.json").read_text())


def test_a_recipe_has_to_be_named(gnomon, tmp_path):
    done = gnomon("sweep", "policy.steps=1")
    assert done.code == 2
    assert "no recipe is named" in done.err
    assert not (tmp_path / "runs").exists()
