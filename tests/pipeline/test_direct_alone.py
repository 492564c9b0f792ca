"""`gnomon train policy` paid by the constitution itself: whoever scores is measured on the way."""

import json

import pytest

from gnomon.errors import ConfigError, ModelError
from gnomon.pipeline.alone import train
from gnomon.pipeline.reporter import SilentReporter
from gnomon.recipe import load_recipe

SMALL = (
    "model={ref: 'tiny:0', dtype: float32, lora: {rank: 2}}",
    "data.limit=12",
    "policy={steps: 1, samples: 2, max_new_tokens: 4, rewards: [constitution], optim: {batch_size: 4}}",
    "constitution={gate_comparisons: 8, direct: {method: rating}}",
)


def test_it_needs_no_reward_model_and_stops_where_the_gate_stays_shut(tmp_path):
    with pytest.raises(ModelError, match=r"labels nothing.*or pay by other policy\.rewards"):
        train(
            "policy", load_recipe(None, [*SMALL, "constitution.gate_lower=0.9"]), tmp_path, SilentReporter()
        )
    assert not (tmp_path / "model").exists()


def test_alone_there_is_no_judge_that_was_trained(tmp_path):
    recipe = load_recipe(None, [*SMALL, "constitution.roles.labeller=trained_judge"])
    with pytest.raises(ConfigError, match=r"which a road trains before.*here name a model or an endpoint"):
        train("policy", recipe, tmp_path, SilentReporter())


def test_told_to_warn_alone_it_trains(tmp_path):
    recipe = load_recipe(None, [*SMALL, "constitution.feedback.gate=warns"])
    made = train("policy", recipe, tmp_path, SilentReporter())
    assert (made / "adapter_model.safetensors").exists()
    assert json.loads((tmp_path / "report.json").read_text())["steps"] == 1
