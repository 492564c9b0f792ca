from dataclasses import replace
from pathlib import Path

import pytest

from gnomon.config import EvaluationSettings, Recipe
from gnomon.data.sources import read_data
from gnomon.pipeline.expected import NOMINAL, expected, roughly
from gnomon.pipeline.plan import Counted, stage_costs
from gnomon.pipeline.walk import names
from gnomon.recipe import changed, load_recipe
from gnomon.records import Comparison, Conversation, Demonstration, Label
from gnomon.settings.policy import PolicySettings
from gnomon.settings.preference import PreferenceSettings

ROOT = Path(__file__).parents[2]

DEMO = Counted(
    demonstrations=850,
    sft_tokens=36_600,
    sft_labels=19_000,
    reward=29_300,
    reward_labels=25_000,
    ratings=0,
    rating_labels=0,
    second=23_600,
    test=12_800,
    policy=(16,) * 135,
    red_team=(16,) * 48,
    evaluation=(15,) * 196,
    shares=False,
)
"""The rows of the demo below, as counted by their characters."""

TOOK = {
    "sft": 365,
    "revise": 74,
    "feedback": 32,
    "reward": 262,
    "reward_second": 208,
    "answers_sft": 45,
}
"""Seconds of undisturbed stages of the demo on two cores, under settings that are still the defaults."""


@pytest.fixture(scope="module")
def data():
    return read_data(Recipe().data, 0)


def test_an_evaluation_point_takes_what_sampling_as_many_rows_takes(data):
    """Every second of ten batches and the start are six points; 48 prompts of 4 samples are two batches."""

    def seconds(**own):
        recipe = Recipe().model_copy(update={"policy": PolicySettings(**own)})
        return expected(recipe, data)["policy"]

    fewer, more = seconds(steps=10, epochs=1), seconds(steps=10, epochs=2)
    batch = seconds(steps=11, epochs=1) - fewer - (more - fewer) / 10  # one that nothing is learnt from
    measured = seconds(steps=10, epochs=1, guards={"every": 2})
    assert measured - fewer == pytest.approx(6 * 2 * batch, rel=1e-6)


@pytest.mark.parametrize("left_out", ["policy", "reward", "constitution"])
@pytest.mark.parametrize("preference", [None, PreferenceSettings()])
def test_there_is_an_expectation_of_every_stage(data, left_out, preference):
    recipe = Recipe().model_copy(update={"preference": preference, left_out: None})
    assert tuple(expected(recipe, data)) == names(recipe)


def test_there_is_one_of_a_road_without_reward_models_and_of_its_suites(data):
    """The more a suite asks, the longer."""
    policy, few = PolicySettings(rewards=()), EvaluationSettings(suites=("knowledge",), suite_limit=4)
    recipe = Recipe(reward=None, policy=policy, evaluation=few)
    found = expected(recipe, data)
    assert tuple(found) == names(recipe)
    assert {"policy", "suites_sft", "suites_policy", "suites_constitutional"} < found.keys()
    more = recipe.model_copy(update={"evaluation": few.model_copy(update={"suite_limit": None})})
    assert expected(more, data)["suites_sft"] > found["suites_sft"] > 0


@pytest.mark.parametrize("labeller", ["self", "trained_judge", "truth:0.1"])
@pytest.mark.parametrize("judge", ["null", "tiny:1"])
def test_there_is_an_expectation_of_every_stage_of_the_published_road(data, labeller, judge):
    settings = [f"constitution.roles.labeller='{labeller}'", f"constitution.snapshots.judge='{judge}'"]
    recipe = load_recipe(
        ROOT / "recipes" / "constitution.yaml", settings if judge != "null" else settings[:1]
    )
    found = expected(recipe, data)
    assert tuple(found) == names(recipe)
    assert ("feedback" in found) == (labeller != "trained_judge")
    assert {"judge", "feedback_judge", "snapshot_policy", "snapshots"} <= set(found)
    longer = recipe.model_copy(update={"constitution": recipe.constitution.model_copy(update={"repeats": 9})})
    assert expected(longer, data)["constitutional"] > found["constitutional"]


@pytest.mark.parametrize("labeller", ["self", "trained_judge"])
@pytest.mark.parametrize("learns", ["reward", "preference", None])
def test_there_is_an_expectation_of_every_stage_where_principles_pay(data, labeller, learns):
    """Pairs are labelled only where something learns from labels."""
    own = [f"constitution.roles.labeller={labeller}", "policy.rewards=[constitution]"]
    own += [] if learns == "reward" else ["reward=null"]
    own += ["preference={}"] if learns == "preference" else []
    recipe = load_recipe(ROOT / "recipes" / "constitution.yaml", own)
    found = expected(recipe, data)
    assert tuple(found) == names(recipe)
    assert ("direct" in found) == (labeller == "self")
    assert {"judge", "direct_judge", "policy"} <= set(found)
    assert ("feedback_judge" in found) == (learns is not None)
    twice = recipe.model_copy(update={"constitution": changed(recipe.constitution, direct={"ensemble": 2})})
    assert expected(twice, data)["direct_judge"] > found["direct_judge"]
    assert expected(twice, data)["policy"] > found["policy"]


def test_a_loss_that_reads_more_is_expected_to_take_longer():
    """A reference reads every comparison once; KTO reads answers after other prompts as well."""

    def seconds(loss):
        recipe = Recipe(preference=PreferenceSettings(loss=loss))
        costs = {cost.stage: cost.seconds for cost in stage_costs(recipe, DEMO, NOMINAL)}
        return costs["preference"]

    free, dpo, kto = map(seconds, ("simpo", "dpo", "kto"))
    once = DEMO.reward * NOMINAL.forward_token
    assert dpo - free == pytest.approx(once + DEMO.test * NOMINAL.forward_token)
    assert kto - dpo == pytest.approx(2 * once)


def test_proportions_are_those_of_the_demo_as_it_was_measured():
    found = {cost.stage: cost.seconds for cost in stage_costs(Recipe(), DEMO, NOMINAL)}
    ratios = [found[stage] / seconds for stage, seconds in TOOK.items()]
    assert max(ratios) / min(ratios) < 1.6


def test_a_recipe_that_does_more_is_expected_to_take_longer(data):
    recipe = Recipe()
    longer = recipe.model_copy(update={"policy": recipe.policy.model_copy(update={"steps": 21})})
    before, after = expected(recipe, data), expected(longer, data)
    # it samples once more at the end
    assert after["policy"] / before["policy"] == pytest.approx(22 / 11, rel=0.05)
    assert {**after, "policy": 0} == {**before, "policy": 0}


def test_rows_are_counted_by_their_characters_and_long_ones_left_out(data):
    short, long = Conversation.of("a" * 40, "b" * 20), Conversation.of("a" * 40, "b" * 4000)
    rows = tuple(Demonstration(str(i), row) for i, row in enumerate((short, long)))
    pairs = tuple(
        Comparison.of(str(length), Conversation.of("a" * 40), "b" * 20, "b" * length, Label(1.0, "person"))
        for length in (80, 4000)
    )
    counted = roughly(replace(data, sft=rows, reward=pairs), longest=512)
    assert (counted.demonstrations, counted.sft_tokens, counted.sft_labels) == (1, 15, 5)
    assert counted.reward == 10 + 5 + 20  # the prompt once
    assert counted.reward_labels == 5 + 20
