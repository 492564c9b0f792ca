"""What manifests, files and references tell of a judge's kin."""

import json
import shutil

import pytest

from gnomon.config import Recipe
from gnomon.pipeline import kinship
from gnomon.pipeline.alone import train
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.stages import Start

TINY = {
    "name": "kin",
    "model": {"ref": "tiny:0", "dtype": "float32", "lora": {"rank": 2}},
    "data": {"limit": 8},
    "sft": {"optim": {"epochs": 1}},
    "reward": {"optim": {"epochs": 1}},
    "policy": {"steps": 1, "samples": 2, "max_new_tokens": 4, "optim": {"batch_size": 2}},
}


def kin(judge, models):
    return kinship.kin({"judge": judge}, models)["judge"]


def test_references_alone_tell_who_judges_itself():
    models = {"a": "hub:org/model", "b": "tiny:1"}
    assert kin("hub:org/model", models) == ["it is a itself"]
    assert kin("endpoint:http://localhost:1/v1#org/model", models) == ["it is a itself"]
    assert kin("tiny:1", models) == ["it is b itself"]
    assert kin("tiny:2", models) == kin("checks", models) == kin("votes:v.jsonl", models) == []


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model, a reward model that starts from it, and a policy optimised against that one."""
    place = tmp_path_factory.mktemp("made")

    def by(kind, ref, **more):
        recipe = Recipe.model_validate({**TINY, "model": {**TINY["model"], "ref": ref}})
        return train(kind, recipe, place / kind, SilentReporter(), **more)

    sft = by("sft", "tiny:0")
    reward = by("reward", f"path:{sft}")
    return place, {"sft": sft, "reward": reward, "policy": by("policy", f"path:{sft}", reward=reward)}


def test_a_reward_model_is_kin_to_what_was_optimised_against_it(made):
    place, folders = made
    models = {"tuned": f"path:{folders['policy']}", "plain": f"path:{folders['sft']}"}
    reward = f"path:{folders['reward']}"
    assert kin(reward, models) == ["tuned was optimised against it", "it goes on from plain"]
    (stored,) = (path.parent for path in (place / "reward" / "artefacts").glob("*/model"))
    assert kin(f"path:{stored / 'model'}", models) == kin(reward, models)
    link = place / "named"
    link.symlink_to(stored / "model")
    assert kin(f"path:{link}", models) == kin(reward, models)


def test_models_of_one_line_are_kin(made):
    _, folders = made
    models = {"tuned": f"path:{folders['policy']}"}
    assert kin(f"path:{folders['sft']}", models) == ["tuned goes on from it"]
    assert kin("tiny:0", models) == ["tuned goes on from it"]
    assert kin(f"path:{folders['policy']}", models) == ["it is tuned itself"]


def test_a_copy_is_the_model_and_what_was_changed_is_only_of_its_base(made, tmp_path):
    _, folders = made
    shutil.copytree(folders["sft"], tmp_path / "copy")
    models = {"plain": f"path:{folders['sft']}"}
    assert kin(f"path:{tmp_path / 'copy'}", models) == ["it is plain itself"]
    template = tmp_path / "copy" / "chat_template.jinja"
    template.write_text(template.read_text() + "{# another #}")
    (tmp_path / "copy" / "adapter_model.safetensors").write_bytes(b"others")
    assert kin(f"path:{tmp_path / 'copy'}", models) == ["it has a base in common with plain"]


def artefact(store, name, inputs, settings=None):
    """A manifest as the store writes one, and a model of a size of its own."""
    folder = store / name / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"of": name}))
    about = {"id": name, "inputs": inputs, "settings": settings or {}, "files": {}}
    (store / name / "artefact.json").write_text(json.dumps(about))
    return f"path:{folder}"


def test_whose_labels_a_judge_learnt_from_is_told(tmp_path):
    sft = artefact(tmp_path, "s", {}, {"start": "hub:org/base", "digest": ""})
    artefact(tmp_path, "f", {"start": "s", "data": "d"})
    reward = artefact(tmp_path, "r", {"start": "s", "extra": "f"})
    policy = artefact(tmp_path, "p", {"start": "s", "reward": "r", "second": "q"})
    second = artefact(tmp_path, "q", {"start": "s"})
    assert kin(reward, {"sft": sft}) == ["it was trained on labels of sft", "it goes on from sft"]
    assert kin(reward, {"policy": policy}) == [
        "policy was optimised against it",
        "it was trained on labels of a model that policy goes on from",
    ]
    assert kin(sft, {"policy": policy}) == ["policy was trained on its labels", "policy goes on from it"]
    # what only watched is not what the policy was optimised against
    assert kin(second, {"policy": policy}) == ["it has a base in common with policy"]
    assert kin("hub:org/base", {"policy": policy}) == ["policy goes on from it"]
    assert kin("hub:org/other", {"policy": policy}) == []


def test_a_folder_that_holds_another_model_by_now_is_no_kin(tmp_path):
    start = artefact(tmp_path / "old", "s", {})
    then = Start(start).digest
    made = artefact(tmp_path, "m", {}, {"start": start, "digest": then})
    assert kin(start, {"made": made}) == ["made goes on from it"]
    (tmp_path / "old" / "s" / "model" / "config.json").write_text("{}")
    (tmp_path / "old" / "s" / "artefact.json").unlink()
    assert kin(start, {"made": made}) == []
