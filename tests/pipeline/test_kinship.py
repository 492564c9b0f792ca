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


@pytest.fixture
def sft(tmp_path):
    return artefact(tmp_path, "s", {})


def learnt_from(store, labels):
    """A policy whose reward model learnt from these labels."""
    artefact(store, "r", {"start": "s", "extra": labels})
    return {"policy": artefact(store, "p", {"start": "s", "reward": "r"})}


def test_a_teacher_s_labels_are_the_teacher_s(sft, tmp_path):
    artefact(tmp_path, "f", {"start": "s"}, {"roles": [None, "hub:org/teacher"], "noise": None})
    models = learnt_from(tmp_path, "f")
    assert kin("hub:org/teacher", models) == ["policy was trained on its labels"]
    assert kin("endpoint:http://localhost:1/v1#org/teacher", models) == kin("hub:org/teacher", models)
    assert kin(sft, models) == ["policy goes on from it"]
    assert "it was trained on labels" not in str(kin(f"path:{tmp_path / 'r' / 'model'}", models))


def test_a_teacher_in_a_folder_is_known_by_its_weights(sft, tmp_path):
    teacher = artefact(tmp_path / "elsewhere", "t", {})
    roles = [None, f"path:{Start(teacher).digest}"]
    artefact(tmp_path, "f", {"start": "s"}, {"roles": roles})
    assert kin(teacher, learnt_from(tmp_path, "f")) == ["policy was trained on its labels"]


def test_a_trained_judge_s_labels_are_its_own(sft, tmp_path):
    judge = artefact(tmp_path, "j", {"start": "s"})
    artefact(tmp_path, "f", {"start": "s", "judge": "j"}, {"roles": [None, None]})
    models = learnt_from(tmp_path, "f")
    assert kin(judge, models) == ["policy was trained on its labels"]
    assert kin(sft, models) == ["policy goes on from it"]


def test_the_truth_is_no_model(sft, tmp_path):
    artefact(tmp_path, "f", {"start": "s"}, {"roles": [None, None], "noise": 0.0})
    assert kin(sft, learnt_from(tmp_path, "f")) == ["policy goes on from it"]


@pytest.mark.parametrize("by", ["itself", "teacher", "judge"])
def test_who_scores_by_principles_is_what_was_optimised_against(sft, tmp_path, by):
    judge = artefact(tmp_path, "j", {})
    artefact(tmp_path, "own", {"start": "s"}, {"roles": [None]})
    artefact(tmp_path, "taught", {"start": "s"}, {"roles": ["hub:org/teacher"]})
    paid = {"itself": {"direct": "own"}, "teacher": {"direct": "taught"}, "judge": {"judge": "j"}}[by]
    models = {"policy": artefact(tmp_path, "p", {"start": "s", **paid})}
    judges = {"itself": sft, "teacher": "hub:org/teacher", "judge": judge}
    told = {name: "policy was optimised against it" in kin(ref, models) for name, ref in judges.items()}
    assert told == {name: name == by for name in judges}


def test_rewards_from_elsewhere_are_what_was_optimised_against(sft, tmp_path):
    scorer, other = (artefact(tmp_path / "elsewhere", name, {}) for name in ("rm", "lm"))
    rewards = {
        scorer: Start(scorer).digest,
        f"judge:{other}": Start(other).digest,
        "judge:endpoint:http://localhost:1/v1#org/judge": "",
        "python:mine:reward": "0" * 16,
    }
    models = {"policy": artefact(tmp_path, "p", {"start": "s"}, {"rewards": rewards})}
    for judge in (scorer, other, "hub:org/judge"):
        assert kin(judge, models) == ["policy was optimised against it"]


def test_a_folder_that_holds_another_model_by_now_is_no_kin(tmp_path):
    start = artefact(tmp_path / "old", "s", {})
    then = Start(start).digest
    made = artefact(tmp_path, "m", {}, {"start": start, "digest": then})
    assert kin(start, {"made": made}) == ["made goes on from it"]
    (tmp_path / "old" / "s" / "model" / "config.json").write_text("{}")
    (tmp_path / "old" / "s" / "artefact.json").unlink()
    assert kin(start, {"made": made}) == []
