"""Several recipes with several seeds, on the tiny model."""

import json

import pytest
from heard import RECIPES, Heard

from gnomon.errors import ConfigError
from gnomon.pipeline.sweep import seeded, sweep
from gnomon.recipe import load_recipe
from gnomon.runs import read_json

SMALL = ["constitution=null", "policy.steps=1", "data.limit=24"]
DIRECT = [*SMALL, "policy=null", "preference={optim: {lr: 0.002, batch_size: 8}}"]


def named(name, overrides):
    return load_recipe(RECIPES / "tiny.yaml", [*overrides, f"name={name}"])


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    out, heard = tmp_path_factory.mktemp("sweep"), Heard()
    recipes = [named("paid", SMALL), named("direct", DIRECT)]
    return sweep(recipes, 2, out, heard), out, heard


def test_what_comes_before_is_made_once_and_what_is_optimised_with_each_seed(swept):
    _, _, heard = swept
    assert [heard.made.count(name) for name in ("sft", "reward", "reward_second", "answers_sft")] == [1] * 4
    assert [name for name in heard.made if name in ("policy", "preference")] == ["policy", "preference"] * 2


def test_a_row_says_what_a_recipe_took_and_how_its_seeds_came_out(swept):
    rows, out, _ = swept
    assert [(row["recipe"], row["last"]) for row in rows] == [("paid", "policy"), ("direct", "preference")]
    assert json.loads((out / "sweep.json").read_text()) == rows
    for row in rows:
        assert [(cost["seed"], cost["seconds"] > 0) for cost in row["costs"]] == [(0, True), (1, True)]
        own = [gap for gap in row["differences"] if (gap["of"], gap["over"]) == (row["last"], "sft")]
        assert {"checks", "reward/second"} <= {gap["metric"] for gap in own}
        assert all(len(gap["by_seed"]) == 2 for gap in own)
        assert row["models"][row["last"]]["kl/reference"]["by_seed"][0] != 0
    first, other = rows
    assert first["over_first"] == []
    assert {(gap["of"], gap["over"]) for gap in other["over_first"]} == {("preference", "policy")}


def test_each_walk_is_kept_and_says_its_seed(swept):
    _, out, _ = swept
    kept = out / "sweep"
    assert {path.name for path in kept.iterdir()} == {
        f"{name}-{k}.{ending}" for name in ("paid", "direct") for k in (0, 1) for ending in ("json", "html")
    }
    settings = [read_json(kept / f"paid-{k}.json")["run"]["settings"] for k in (0, 1)]
    assert settings[0] != settings[1]
    moved = [read_json(kept / f"paid-{k}.json")["models"]["policy"]["kl/reference"] for k in (0, 1)]
    assert moved[0] != moved[1]


def test_it_goes_on_with_more_seeds_where_it_was(swept):
    rows, out, _ = swept
    heard = Heard()
    more = sweep([named("paid", SMALL)], 3, out, heard)
    assert heard.made == ["policy", "answers_policy"]
    assert more[0]["costs"][:2] == rows[0]["costs"]


def test_a_seed_that_is_the_recipes_is_the_recipes():
    recipe = named("paid", SMALL)
    assert seeded(recipe, 0, whole=False).policy.seed == recipe.seed
    assert seeded(recipe, 2, whole=True).seed == recipe.seed + 2
    assert seeded(named("own", [*SMALL, "policy.seed=7"]), 2, whole=False).policy.seed == 9


def test_recipes_of_one_name_and_without_anything_to_seed_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="several recipes are called paid"):
        sweep([named("paid", SMALL), named("paid", DIRECT)], 2, tmp_path / "a", Heard())
    with pytest.raises(ConfigError, match="nothing to be seeded but the whole road"):
        sweep([named("tuned", [*SMALL, "policy=null"])], 2, tmp_path / "b", Heard())
    assert not list(tmp_path.iterdir())
