"""Which stages there are, and which of them a change of the recipe makes again."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import pytest
from heard import journey

from gnomon.config import EvaluationSettings, Recipe
from gnomon.data.reader import FOLDER
from gnomon.data.sources import read_data
from gnomon.pipeline.lineage import lineage
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.stage import Artefact
from gnomon.pipeline.stages import data_stage
from gnomon.pipeline.walk import WALK, Road, names, unmade
from gnomon.recipe import load_recipe
from gnomon.runs import RunFolder
from gnomon.settings.policy import PolicySettings
from gnomon.settings.preference import PreferenceSettings
from gnomon.store import Store

SMALL = (
    "model={ref: 'tiny:0', dtype: float32, max_length: 1500, lora: {rank: 2}}",
    "data.limit=10",
    "sft.optim.epochs=1",
    "reward.optim.epochs=1",
    "policy={steps: 2, samples: 2, max_new_tokens: 4, optim: {batch_size: 2}}",
    "constitution={max_new_tokens: 4, gate_comparisons: 2}",
    "evaluation={max_new_tokens: 4, bootstrap: 100}",
)
PREFER = PreferenceSettings()
CHECKED = PolicySettings(rewards=())
SUITES = EvaluationSettings(suites=("knowledge",), suite_limit=4)
ANSWERS = ["answers_base", "answers_sft", "answers_policy"]


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """A road that was walked once; it is walked again by `again`, in a copy of its folder."""
    out = tmp_path_factory.mktemp("walked") / "run"
    _, heard = journey(None, SMALL, out)
    return out, heard


@pytest.fixture
def again(walked, tmp_path):
    def walk(*changes: str):
        out = tmp_path / "run"
        shutil.copytree(walked[0], out)
        _, heard = journey(None, [*SMALL, *changes], out)
        return heard, json.loads((out / "manifest.json").read_text())

    return walk


def fewer(folder: Path, setting: str) -> str:
    """A setting with the built-in rows, but for the first of each file."""
    copies = []
    for source in sorted((FOLDER / setting).glob("*.jsonl")):
        copies.append(folder / source.name)
        copies[-1].write_text("".join(source.read_text("utf-8").splitlines(keepends=True)[1:]), "utf-8")
    return f"data.{setting}={json.dumps([str(copy) for copy in copies])}"


@pytest.mark.parametrize(
    ("recipe", "until", "count", "last"),
    [
        (Recipe(), None, 12, "answers_constitutional"),
        (Recipe(), "sft", 2, "sft"),
        (Recipe(), "constitution", 5, "feedback"),
        (Recipe(), "reward", 6, "reward"),
        (Recipe(), "policy", 8, "policy"),
        (Recipe(constitution=None), None, 8, "answers_policy"),
        (Recipe(constitution=None), "constitution", 2, "sft"),
        (Recipe(reward=None), None, 8, "answers_constitutional"),
        (Recipe(reward=None), "reward", 5, "feedback"),
        (Recipe(policy=None), "policy", 7, "reward_second"),
        (Recipe(preference=PREFER), None, 14, "answers_constitutional"),
        (Recipe(preference=PREFER), "preference", 6, "preference"),
        (Recipe(preference=PREFER, reward=None, policy=None), "policy", 6, "preference"),
        (Recipe(preference=PREFER, constitution=None), "reward", 4, "reward"),
        (Recipe(reward=None, policy=CHECKED, constitution=None), None, 6, "answers_policy"),
        (Recipe(reward=None, policy=CHECKED), "policy", 6, "policy"),
        (Recipe(reward=None, policy=CHECKED, constitution=None, evaluation=SUITES), None, 8, "suites_policy"),
        (Recipe(reward=None, constitution=None, evaluation=SUITES), None, 5, "suites_sft"),
    ],
)
def test_the_stages_of_a_recipe(recipe, until, count, last):
    stages = names(recipe, until)
    assert (len(stages), stages[0], stages[-1]) == (count, "data", last)


def test_the_walk_is_that_of_the_names(walked):
    """Revisions of a random model are never kept, so there is no constitutional one."""
    stages = names(load_recipe(None, SMALL))
    assert walked[1].made == [name for name in stages if "constitutional" not in name]
    assert tuple(walked[1].expected) == stages[1:]
    assert tuple(walked[1].announced) == stages[1:]


def test_other_evaluation_prompts_make_only_the_answers_again(again, tmp_path):
    heard, manifest = again(fewer(tmp_path, "evaluation"))
    assert heard.made == ["data", *ANSWERS]
    assert heard.announced == ANSWERS
    made = manifest["artefacts"]
    assert all(parent in made for about in made.values() for parent in about["inputs"].values())
    (policy,) = (about for about in made.values() if about["stage"] == "policy")
    assert lineage(manifest, policy["id"])[0]["stage"] == "data"


def test_other_policy_prompts_make_only_the_policy_and_its_answers_again(again, tmp_path):
    heard, _ = again(fewer(tmp_path, "prompts"))
    assert heard.made == ["data", "policy", "answers_policy"]
    assert heard.announced == ["policy", "answers_policy"]


@pytest.fixture
def missing(walked, tmp_path):
    """The stages that a changed recipe would have to make, in a copy of the folder of the walked road."""

    def ask(*changes: str) -> set[str]:
        out = tmp_path / "run"
        shutil.copytree(walked[0], out)
        recipe = load_recipe(None, [*SMALL, *changes])
        road = Road(recipe, RunFolder(out), Store(out / "artefacts"), SilentReporter())
        road.make(data_stage(recipe, read_data(recipe.data, recipe.seed)))
        return unmade(road, names(recipe)[1:])

    return ask


@pytest.mark.parametrize(
    ("change", "made"),
    [
        ("policy.seed=0", set()),
        ("policy.seed=3", {"policy", "answers_policy"}),
        ("policy.red_team_share=0", set()),
        ("policy.red_team_share=0.5", {"policy", "answers_policy"}),
    ],
)
def test_another_seed_or_share_of_harmful_prompts_makes_the_policy_again(missing, change, made):
    assert missing(change) == made


def test_answers_are_scored_and_those_of_trained_models_know_their_distance(walked):
    rows = [json.loads(line) for line in (walked[0] / "answers.jsonl").read_text("utf-8").splitlines()]
    assert {row["model"] for row in rows if "kl/reference" in row} == {"policy"}
    assert all("reward/second" in row for row in rows)
    assert len({row["prompt_id"] for row in rows}) * 3 == len(rows)


def test_where_nothing_changed_nothing_is_missing(missing):
    assert missing() == set()


def test_other_demonstrations_make_everything_again(missing, tmp_path):
    assert missing(fewer(tmp_path, "demonstrations")) == set(names(Recipe())[1:])


def test_other_red_team_prompts_make_only_what_the_constitution_asks_again(missing, tmp_path):
    revised = {"revise", "constitutional", "feedback", "answers_constitutional"}
    assert missing(fewer(tmp_path, "red_team")) == revised


def test_settings_that_cannot_change_a_result_make_nothing_again(missing, tmp_path):
    builtin = files("gnomon.data").joinpath("builtin/constitution.yaml")
    (tmp_path / "copy.yaml").write_text(builtin.read_text("utf-8"), "utf-8")
    sections = ("sft", "reward", "policy", "constitution")
    changes = [f"{section}.optim.checkpoint_every=7" for section in sections]
    assert missing(*changes, "evaluation.bootstrap=150", f"data.constitution={tmp_path}/copy.yaml") == set()


def test_the_stages_of_a_constitutional_model_depend_on_no_checkpoint_interval(tmp_path):
    """The walked road has no such model, its revisions being those of a random one."""
    ids = set()
    for every in (1, 7):
        recipe = load_recipe(None, [*SMALL, f"constitution.optim.checkpoint_every={every}"])
        road = Road(recipe, RunFolder(tmp_path), Store(tmp_path / "artefacts"), SilentReporter())
        road.make(data_stage(recipe, read_data(recipe.data, recipe.seed)))
        road.made["sft"] = road.made["revise"] = Artefact("0", "sft", tmp_path)
        stage = WALK["constitutional"].build(road)
        assert stage is not None
        ids.add(stage.id)
    assert len(ids) == 1
