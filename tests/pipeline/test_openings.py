"""Looks at held-out rows are counted by what took them, and a second one is said aloud."""

from dataclasses import replace

import pytest

from gnomon.config import DataSettings, Recipe
from gnomon.evaluation.examine import sliced
from gnomon.evaluation.suites.catalogue import suites_of
from gnomon.pipeline import alone
from gnomon.pipeline.examination import examination
from gnomon.pipeline.lineage import write_manifest
from gnomon.pipeline.openings import Opening, of_stages, record
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.stage import Stage, execute
from gnomon.rollouts.engine import Sampling
from gnomon.runs import RunFolder, read_json
from gnomon.store import Store

TINY = "tiny:0"


class Warned(SilentReporter):
    """Remembers what it is warned of."""

    def __init__(self):
        self.texts = []

    def warning(self, text):
        self.texts.append(text)


@pytest.fixture
def place(tmp_path):
    """A folder in which stages leave nothing: what counts is that they were computed."""
    store, folder = Store(tmp_path / "artefacts"), RunFolder(tmp_path)

    def make(name, settings, **inputs):
        return execute(
            Stage(name, 1, settings, inputs, lambda context: None), store, folder, SilentReporter()
        )

    return store, folder, make


def rows(make, *evaluation):
    return make("data", {"data": {"evaluation": list(evaluation)}})


def test_each_stage_that_reads_held_out_rows_is_a_look(place):
    store, folder, make = place
    data = rows(make, "builtin")
    sft, reward, answers = (make(name, {}, data=data) for name in ("sft", "reward", "answers_sft"))
    manifest = write_manifest(folder, store, [data, sft, reward, answers], seed=0, data={})
    assert manifest["test_openings"] == {"answers_sft": 1, "reward": 1}
    assert {look["id"] for look in manifest["test_opened"]} == {reward.id, answers.id}
    assert all(look["at"] for look in manifest["test_opened"])
    assert record(folder, of_stages(store)) is None


def test_prompts_to_choose_by_are_looked_at_freely(place):
    store, _, make = place
    for beta in (0.1, 0.2):
        make("answers_sft", {"beta": beta}, data=rows(make, "builtin:dev"))
    assert of_stages(store) == []
    made = make("answers_sft", {}, data=rows(make, "builtin:dev", "builtin"))
    assert [look.id for look in of_stages(store)] == [made.id]


def test_a_second_look_with_other_settings_is_counted_and_said(place):
    store, folder, make = place
    data = rows(make, "builtin")
    for beta in (0.1, 0.2):
        make("answers_policy", {"beta": beta}, data=data)
    told = record(folder, of_stages(store))
    assert "answers_policy 2 times" in told
    assert "builtin:dev" in told
    assert read_json(folder.manifest)["test_openings"] == {"answers_policy": 2}


def test_what_other_commands_looked_at_stays_in_the_manifest(place):
    store, folder, make = place
    look = Opening("tuned: answering", "ab", "2026-01-01T00:00:00+00:00")
    assert record(folder, [look]) is None
    data = rows(make, "builtin")
    manifest = write_manifest(folder, store, [data, make("reward", {}, data=data)], seed=0, data={})
    assert manifest["test_openings"] == {"tuned: answering": 1, "reward": 1}
    assert record(folder, [replace(look, at="2026-01-02T00:00:00+00:00")]) is None  # it shows nothing new
    assert "tuned: answering 2 times" in record(folder, [replace(look, id="cd")])
    assert read_json(folder.manifest)["artefacts"] == manifest["artefacts"]


def test_a_model_examined_again_shows_nothing_new_another_under_its_name_does(tmp_path):
    def examined(ref):
        suites = [sliced(suite, 3, seed=0) for suite in suites_of(["knowledge"])]
        warned = Warned()
        examination({"tuned": ref}, suites, tmp_path, warned, sampling=Sampling(4))
        return read_json(tmp_path / "manifest.json")["test_openings"], warned.texts

    assert examined(TINY) == ({"tuned: knowledge": 1}, [])
    assert examined(TINY) == ({"tuned: knowledge": 1}, [])
    counts, texts = examined("tiny:1")
    assert counts == {"tuned: knowledge": 2}
    assert len(texts) == 1
    assert "opened more than once" in texts[0]


def test_evaluating_counts_unless_it_is_on_prompts_to_choose_by(tmp_path):
    for prompts, counts in (("builtin", {"answers_a": 1}), ("builtin:dev", {})):
        recipe = Recipe(name="eval", data=DataSettings(evaluation=(prompts,), limit=2))
        short = recipe.evaluation.model_copy(update={"max_new_tokens": 4, "bootstrap": 100})
        recipe = recipe.model_copy(update={"evaluation": short})
        out = tmp_path / prompts.replace(":", "-")
        alone.evaluate({"a": TINY}, recipe, out, SilentReporter())
        assert read_json(out / "manifest.json")["test_openings"] == counts
