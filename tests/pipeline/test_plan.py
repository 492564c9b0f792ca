import pytest

from gnomon.errors import DataError
from gnomon.pipeline import plan as planning
from gnomon.pipeline.probe import Rates
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.road import run
from gnomon.recipe import load_recipe

RATES = Rates(
    load=2.0,
    train_token=0.01,
    train_label=0.02,
    forward_token=0.004,
    step=0.1,
    row=0.001,
    memory_gib=1.5,
    weights_gib=0.5,
    trained=2**20,
)


def test_decoding_pays_for_the_longest_row_of_each_batch():
    assert RATES.decode(100, tokens=2000, longest=50) == pytest.approx(1 * 50 * 0.1 + 2.0)
    assert RATES.decode(200, tokens=2000, longest=50) == pytest.approx(2 * 50 * 0.1 + 2.0)


def test_tokens_are_those_the_stages_then_take(tmp_path):
    """The plan's tokens of the training stages are exact: they follow from the rows alone."""
    recipe = load_recipe(
        None, ["model.ref=tiny:0", "model.dtype=float32", "data.limit=26", "constitution=null"]
    )
    recipe = recipe.model_copy(update={"policy": None})
    summary = run(recipe, tmp_path, SilentReporter(), until="reward")
    planned = {cost.stage: cost for cost in planning.plan(recipe).stages}
    spent = summary["costs"]["stages"]
    assert planned["sft"].tokens == spent["sft"]["tokens"]
    assert planned["reward"].tokens == pytest.approx(
        spent["reward"]["tokens"], rel=0.5
    )  # it adds those of the test


def test_no_demonstrations_is_an_error_that_says_so():
    recipe = load_recipe(None, ["model.ref=tiny:0", "model.dtype=float32", "data.demonstrations=[]"])
    with pytest.raises(DataError, match="demonstration"):
        planning.plan(recipe)
