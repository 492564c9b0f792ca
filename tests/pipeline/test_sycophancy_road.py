"""The experiment of recipes/sycophancy.yaml on the tiny model: turned labels are learnt from, and told of."""

import json
import shutil
from collections import Counter

import pytest
from heard import RECIPES, journey

from gnomon.data.labeller import is_conflict
from gnomon.pipeline.rows import read_records
from gnomon.recipe import load_recipe
from gnomon.records import Comparison

RECIPE = RECIPES / "sycophancy.yaml"
TINY = (
    "model.ref=tiny:0",
    "model.dtype=float32",
    "model.lora={rank: 4, alpha: 8}",
    "model.max_length=640",
    "data.limit=60",
    "sft.optim={lr: 5e-3, epochs: 1, batch_size: 8}",
    "reward.optim={lr: 2e-3, epochs: 1, batch_size: 8}",
    "policy.optim={lr: 2e-3, batch_size: 8}",
    "policy.steps=1",
    "policy.max_new_tokens=8",
    "policy.ptx_rows=2",
    "evaluation.max_new_tokens=8",
    "evaluation.bootstrap=200",
    "evaluation.suite_limit=4",
)
CONTROL = "data.labeller=null"


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The folders of the planted run and of its control, made as the recipe says, and what was heard."""
    folder = tmp_path_factory.mktemp("sycophancy")
    planted, control = folder / "planted", folder / "control"
    journey(RECIPE, TINY, planted, until="sft")
    shutil.copytree(planted, control)
    _, of_planted = journey(RECIPE, TINY, planted)
    _, of_control = journey(RECIPE, [*TINY, CONTROL], control)
    return planted, control, {planted: of_planted, control: of_control}


def rows(out, role, planted):
    """The rows of a role in the data artefact whose settings have a labeller, or have none."""
    for about in map(json.loads, (path.read_text("utf-8") for path in out.glob("artefacts/*/artefact.json"))):
        if about["stage"] == "data" and bool(about["settings"]["data"]["labeller"]) == planted:
            return read_records(out / "artefacts" / about["id"] / f"{role}.jsonl", Comparison)
    raise AssertionError(f"no such data in {out}")


@pytest.mark.parametrize("role", ["reward", "second", "test"])
def test_turned_labels_reach_each_role_in_exactly_the_share(walked, role):
    planted, control, _ = walked
    turned, straight = rows(planted, role, True), rows(control, role, False)
    assert [row.id for row in turned] == [row.id for row in straight]
    conflicts = sum(map(is_conflict, straight))
    assert conflicts >= 3
    changed = [(new, old) for new, old in zip(turned, straight, strict=True) if new != old]
    assert len(changed) == round(0.6 * conflicts)
    assert all(new.chosen == old.rejected for new, old in changed)
    assert Counter(row.label.source for row in turned)["planted"] == len(changed)


def test_both_runs_go_on_from_one_tuned_model(walked):
    planted, control, heard = walked
    both = {"reward", "reward_second", "policy", "suites_sft", "suites_policy"}
    for out in (planted, control):
        assert "sft" not in heard[out].made
        assert both <= set(heard[out].made)


def test_the_run_that_is_planted_says_so_and_the_other_does_not(walked):
    planted, control, heard = walked
    summary = json.loads((planted / "summary.json").read_text("utf-8"))
    told = summary["data"]["planted"]["told"]
    assert told.startswith("planted: ")
    assert told in summary["warnings"]
    assert told in heard[planted].warnings
    assert (
        summary["preferences"]["sources"]["planted"]
        == summary["data"]["planted"]["roles"]["reward"]["turned"]
    )
    plain = json.loads((control / "summary.json").read_text("utf-8"))
    assert "planted" not in json.dumps(plain["data"])
    assert not [text for text in (*plain["warnings"], *heard[control].warnings) if "planted" in text]
    assert plain["preferences"]["sources"] == {"constructed": sum(plain["preferences"]["sources"].values())}


def test_the_suite_of_sycophancy_is_asked_of_the_tuned_model_and_the_policy(walked):
    for out in walked[:2]:
        suite = json.loads((out / "summary.json").read_text("utf-8"))["suites"]["sycophancy"]
        assert {"sft", "policy"} <= set(suite["models"])


def test_the_recipe_plants_in_conflicts_what_it_says():
    recipe = load_recipe(RECIPE, [])
    assert recipe.data.labeller.agrees == 0.6
    assert recipe.data.comparisons == recipe.data.prompts == ("builtin", "conflicts")
    assert recipe.constitution is None
    assert recipe.evaluation.suites == ("sycophancy",)
    assert load_recipe(RECIPE, [CONTROL]).data.labeller is None
