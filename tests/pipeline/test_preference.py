"""The stage of preference optimisation, alone and on the road."""

import json
from operator import attrgetter
from pathlib import Path

import pytest
from safetensors.torch import load_file

from gnomon.config import Recipe
from gnomon.data.sources import read_data
from gnomon.evaluation.reward import reward_report
from gnomon.models.load import load
from gnomon.models.logps import sequence_logps
from gnomon.pipeline.alone import train
from gnomon.pipeline.preference import preference_stage
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.road import run
from gnomon.pipeline.rows import read_records
from gnomon.pipeline.stages import Start, data_stage
from gnomon.pipeline.walk import opened
from gnomon.recipe import load_recipe
from gnomon.records import Comparison
from gnomon.runs import read_json, read_metrics

ROOT = Path(__file__).parents[2]
SMALL = (
    "model={ref: 'tiny:0', dtype: float32, max_length: 1500, lora: {rank: 2}}",
    "data.limit=12",
    "sft.optim.epochs=1",
    "preference.optim={lr: 1e-3, batch_size: 4, epochs: 2}",
    "reward=null",
    "policy=null",
    "constitution=null",
    "evaluation={max_new_tokens: 4, bootstrap: 100}",
)


BOTH = (attrgetter("first"), attrgetter("second"))


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """A road with DPO in place of reward models and policy."""
    out = tmp_path_factory.mktemp("preference") / "run"
    return out, run(load_recipe(None, SMALL), out, SilentReporter())


def artefact(out: Path, stage: str) -> Path:
    made = json.loads((out / "manifest.json").read_text())["artefacts"]
    (key,) = (key for key, about in made.items() if about["stage"] == stage)
    return out / "artefacts" / key


def test_the_road_has_a_tuned_model_one_by_preferences_and_both_compared(walked):
    out, summary = walked
    assert list(summary["models"]) == ["base", "sft", "preference"]
    assert {(row["of"], row["over"]) for row in summary["differences"]} >= {("preference", "sft")}
    assert summary["models"]["preference"]["kl/reference"]["n"] > 0
    assert summary["preference"]["loss"] == "dpo"
    assert summary["preference"]["train_rows"] == summary["preferences"]["sources"]["constructed"]
    counts = json.loads((out / "manifest.json").read_text())["test_openings"]
    assert counts["preference"] == 1
    page = (out / "report.html").read_text()
    assert "Preference optimisation" in page
    assert "Preference-tuned" in page


def test_it_begins_at_the_tuned_model_and_moves(walked):
    out, _ = walked
    rows = read_metrics(out / "metrics" / "preference.jsonl")
    assert rows[0]["logps/moved"] == 0.0
    assert rows[-1]["logps/moved"] > 0.0
    start, end = (
        load_file(artefact(out, stage) / "model" / "adapter_model.safetensors")
        for stage in ("sft", "preference")
    )
    assert start.keys() == end.keys()
    assert max(float((end[name] - weight).abs().max()) for name, weight in start.items()) > 1e-4


def test_the_report_is_of_the_implicit_reward_on_held_out_comparisons(walked):
    """Log-ratios of what was saved to what it began with, answer by answer."""
    out, summary = walked
    rows = read_records(artefact(out, "data") / "test.jsonl", Comparison)
    policy, reference = (
        load(f"path:{artefact(out, stage) / 'model'}", dtype="float32") for stage in ("preference", "sft")
    )

    def reward(row, turns):
        prompt = policy.encode_prompt(row.prompt)
        answer = policy.encode(row.prompt.then(*turns)).ids[len(prompt) :]
        one, other = (sequence_logps(lm, [prompt], [answer])[0].sum() for lm in (policy, reference))
        return 0.1 * float(one - other)

    wanted = reward_report(rows, *([reward(row, turns(row)) for row in rows] for turns in BOTH))
    assert summary["preference"]["accuracy"] == wanted["accuracy"]
    assert summary["preference"]["ece"] == pytest.approx(wanted["ece"], abs=1e-3)


@pytest.mark.parametrize("loss", ["orpo", "kto"])
def test_alone_with_every_weight_trained(loss, tmp_path):
    recipe = load_recipe(None, [*SMALL, f"preference.loss={loss}", "model.lora=null"])
    model = train("preference", recipe, tmp_path, SilentReporter())
    report = read_json(tmp_path / "report.json")
    assert report["loss"] == loss
    assert report["steps"] > 1
    assert (model / "model.safetensors").exists()


def test_what_it_is_made_of_is_what_can_change_it(tmp_path):
    """Its own defaults are in the id, so that changing them is not taken for the same stage."""
    recipe = load_recipe(None, SMALL)
    data = data_stage(recipe, read_data(recipe.data, recipe.seed))
    with opened(recipe, tmp_path, SilentReporter()) as road:
        rows = road.make(data)

    def id_of(*overrides: str) -> str:
        settings = load_recipe(None, [*SMALL, *overrides]).preference
        assert settings is not None
        return preference_stage(recipe, settings, rows, Start("tiny:0"), ("reward",)).id

    same, plain = id_of("preference.beta=0.1"), id_of()
    assert id_of("preference.optim.checkpoint_every=3") == plain
    assert len({plain, id_of("preference.beta=0.2"), id_of("preference.loss=hinge")}) == 3
    stage = preference_stage(recipe, recipe.preference, rows, Start("tiny:0"), ("reward",))
    assert stage.settings["preference"]["beta"] == 0.1
    assert same == plain


def test_the_recipe_of_preferences_is_the_demo_without_reward_and_policy():
    recipe, demo = (load_recipe(ROOT / "recipes" / name) for name in ("dpo.yaml", "demo.yaml"))
    assert isinstance(recipe, Recipe)
    assert (recipe.reward, recipe.policy) == (None, None)
    assert recipe.preference is not None
    assert (recipe.sft, recipe.model, recipe.constitution) == (demo.sft, demo.model, demo.constitution)
