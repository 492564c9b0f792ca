import json

import pytest

from algorithms.run import NAMES, RECIPES
from gnomon.recipe import load_recipe
from page import algorithms


def test_all_begin_with_the_demos_tuned_model_and_its_reward_models():
    demo = load_recipe(RECIPES.parent / "demo.yaml")
    for name in NAMES:
        recipe = load_recipe(RECIPES / f"{name}.yaml")
        assert recipe.name == name
        for section in ("seed", "model", "data", "sft", "reward", "evaluation"):
            assert getattr(recipe, section) == getattr(demo, section), section
        assert (recipe.policy is None) == (recipe.preference is not None) == (name == "dpo")
    assert {path.stem for path in RECIPES.glob("*.yaml")} == set(NAMES)


def test_the_page_has_a_line_for_each_recipe(tmp_path):
    estimate = {"value": 0.125, "low": -0.01, "high": 0.26, "n": 9, "by_seed": [0.1, 0.15]}
    metrics = ("reward/second", "checks", "over_refusal", "length/tokens")
    gaps = [
        {"metric": name, "of": "policy", "over": over, **estimate}
        for name in metrics
        for over in ("sft", "base")
    ]
    gaps = [gap | ({"value": 9.0} if gap["over"] == "base" else {}) for gap in gaps]
    row = {
        "recipe": "rloo",
        "last": "policy",
        "costs": [{"seconds": 540, "peak_memory_gib": 5}, {"seconds": 660, "peak_memory_gib": 4}],
        "models": {"policy": {"kl/reference": estimate}},
        "differences": gaps,
    }
    (tmp_path / "algorithms").mkdir()
    hardware = {"cpu": "Two cores", "threads": 2}
    (tmp_path / "algorithms" / "results.json").write_text(json.dumps({"rows": [row], "hardware": hardware}))
    lines = algorithms(tmp_path).strip().splitlines()
    assert "2 seeds, Two cores, 2 threads" in lines[0]
    assert lines[2] == (
        "| `rloo` | 10.0 min, 5.0 GiB | 0.12 (-0.01 to 0.26) | +0.12 (-0.01 to +0.26) | "
        "+12.5% (-1.0% to +26.0%) | +12.5% (-1.0% to +26.0%) | +0.1 (-0.0 to +0.3) |"
    )
    assert algorithms(tmp_path / "nowhere") == ""


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_it_is_for(name):
    assert (RECIPES / f"{name}.yaml").read_text().startswith("# ")
