"""Votes of a real database on their way into a reward model of the tiny model."""

import json
import shutil
import sys

import pytest
from heard import Heard
from office import project, somebody

from gnomon.config import DataSettings, RewardSettings
from gnomon.data.formats import load
from gnomon.data.reader import FOLDER
from gnomon.errors import ConfigError, DataError
from gnomon.labelling.adjudication import Bench, Case
from gnomon.labelling.export import ENDINGS, stream
from gnomon.labelling.items import items_of
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.queue import Queue, Turn
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.store import projects
from gnomon.labelling.store.database import open_store
from gnomon.pipeline import alone
from gnomon.pipeline.project import FLIPS, VARIABLE, VOTES, read_rows, settled
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.road import run
from gnomon.pipeline.stage import Artefact
from gnomon.recipe import load_recipe
from gnomon.runs import read_json
from gnomon.store import MANIFEST

ROWS = load(FOLDER / "comparisons" / "wrong.jsonl").records[:24]
TINY = (
    *(
        "model.ref=tiny:0",
        "model.dtype=float32",
        "model.max_length=1500",
        "model.lora.rank=2",
        "data.limit=24",
    ),
    *("reward.optim.epochs=1", "constitution=null", "policy=null", "sft.optim.epochs=0.2"),
)
NOTHING = {"demonstrations": (), "prompts": (), "red_team": (), "evaluation": ()}


class Talk:
    """A project with built-in comparisons as items, each judged by two people."""

    def __init__(self, place) -> None:
        self.place, self.store = str(place), open_store(place)
        plain = ProjectSettings(gold_rate=0, repeat_rate=0, overlap=3)
        self.project = project(self.store, list(items_of(ROWS)), plain, "talk")

    def judge(self, how) -> str:
        """All items by somebody new, who says of the task's responses, from left to right, how they are."""
        who, queue = somebody(self.store, self.project), Queue(self.store)
        turn = Turn(self.project, who.id)
        while not isinstance(task := queue.next(turn), str):
            queue.submit(turn, task.token, how(task), f"key-{task.token}")
        return who.pseudonym

    def settings(self, **more) -> DataSettings:
        return DataSettings(
            **{**NOTHING, "comparisons": ("labels:talk",), "labels": {"db": self.place}, **more}
        )


def right(task) -> Judgement:
    """The built-in answer that is not wrong."""
    good = {row.chosen[0].content for row in ROWS}
    return Judgement(choice="left" if task.responses[0][0]["content"] in good else "right", strength=2)


@pytest.fixture
def talk(tmp_path):
    made = Talk(tmp_path / "labels.db")
    yield made
    made.store.close()


@pytest.fixture
def judged(talk):
    """Judged by one who is right and one who calls everything a tie."""
    talk.judge(right)
    talk.judge(lambda task: Judgement(choice="tie"))
    return talk


def comparisons(data):
    return (*data.reward, *data.second, *data.test)


def test_labels_of_people_are_shared_out_like_other_rows(judged):
    data = read_rows(judged.settings(), 0)
    rows = comparisons(data)
    assert {row.id for row in rows} == {f"talk/{row.id}" for row in ROWS}
    better = {f"talk/{row.id}": row.chosen for row in ROWS}
    assert all(row.chosen == better[row.id] for row in rows)
    assert {row.label.source for row in rows} == {"person"}
    assert all(0.5 < row.label.preference < 1 for row in rows)
    assert data.report()["labels"]["labels:talk"]["said"] == {
        "first": 24, "tie": 24, "second": 0, "both_bad": 0, "skip": 0,
    }  # fmt: skip
    assert list(data.digests) == ["labels:talk"]


def test_how_votes_become_labels_is_a_setting(judged):
    labels = {"db": judged.place, "method": "majority"}
    rows = comparisons(read_rows(judged.settings(labels=labels), 0))
    assert {row.label.preference for row in rows} == {0.5}, "as many ties as preferences"


def test_they_stand_beside_files_and_the_place_may_come_from_outside(judged, monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, judged.place)
    more = tmp_path / "more.jsonl"
    more.write_text('{"prompt": "Up or down?", "chosen": "Up.", "rejected": "Down."}\n', "utf-8")
    data = read_rows(judged.settings(comparisons=(str(more), "labels:talk"), labels={}), 0)
    assert len(comparisons(data)) == 25
    assert set(data.digests) == {str(more), "labels:talk"}


def test_what_is_missing_is_told(talk, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="there is no project 'walk'"):
        read_rows(talk.settings(comparisons=("labels:walk",)), 0)
    nowhere = str(tmp_path / "nowhere.db")
    with pytest.raises(
        ConfigError, match=r"labels:talk: there is no database .*nowhere.db; name it with data"
    ):
        read_rows(talk.settings(labels={"db": nowhere}), 0)
    with pytest.raises(DataError, match="labels:talk: no vote says yet"):
        read_rows(talk.settings(), 0)
    monkeypatch.setitem(sys.modules, "gnomon.labelling.store.database", None)
    with pytest.raises(ConfigError, match=r"labels:talk needs a package that is missing .*gnomon\[label\]"):
        read_rows(talk.settings(), 0)


def test_labels_are_no_demonstrations(judged):
    with pytest.raises(DataError, match=r"takes demonstrations .* of labels:talk is a comparison"):
        read_rows(judged.settings(demonstrations=("labels:talk",)), 0)


def reward(talk, out, *overrides):
    """The figures of a reward model of these labels, and the folder of its rows."""
    recipe = load_recipe(None, [*TINY, *overrides])
    recipe = recipe.model_copy(update={"data": talk.settings()})
    alone.train("reward", recipe, out, SilentReporter())
    made = {read_json(path)["stage"]: path.parent for path in out.glob(f"artefacts/*/{MANIFEST}")}
    return read_json(out / "report.json"), made["data"]


def test_a_reward_model_learns_from_them_and_every_vote_is_kept_beside(judged, tmp_path):
    report, rows = reward(judged, tmp_path / "run")
    assert report["train_rows"] > 12
    assert report["label_smoothing"] == 0
    kept = [json.loads(line) for line in (rows / VOTES).read_text("utf-8").splitlines()]
    assert len(kept) == 24
    assert all((row["first"], row["tie"], len(row["votes"])) == (1, 1, 2) for row in kept)
    assert 0 < read_json(rows / FLIPS)["estimated"] < 0.5


def test_estimated_flips_smooth_the_labels(judged, tmp_path):
    report, rows = reward(judged, tmp_path / "run", "reward.label_smoothing=estimated")
    assert report["label_smoothing"] == read_json(rows / FLIPS)["estimated"] > 0


def test_estimated_flips_need_votes_that_tell(talk, tmp_path):
    recipe = load_recipe(None, [*TINY, "reward.label_smoothing=estimated"])
    with pytest.raises(ConfigError, match="lists no labels:PROJECT"):
        alone.train("reward", recipe, tmp_path / "builtin", SilentReporter())
    talk.judge(right)
    data = talk.settings(labels={"db": talk.place, "method": "majority"})
    once = recipe.model_copy(update={"data": data})
    with pytest.raises(DataError, match="nothing tells how many votes are flips"):
        alone.train("reward", once, tmp_path / "once", SilentReporter())
    with pytest.raises(ConfigError, match="is estimated from votes"):
        _ = RewardSettings(label_smoothing="estimated").flips


def test_another_vote_makes_what_learns_from_it_again_and_a_moved_database_nothing(judged, tmp_path):
    def walked(place: str) -> tuple[list[str], dict]:
        recipe = load_recipe(None, TINY)
        own = {"comparisons": ("labels:talk",), "labels": {"db": place}}
        data = DataSettings.model_validate(recipe.data.model_dump() | own)
        heard = Heard()
        summary = run(recipe.model_copy(update={"data": data}), tmp_path / "run", heard, until="reward")
        return heard.made, summary

    made, summary = walked(judged.place)
    assert made == ["data", "sft", "reward"]
    assert summary["preferences"]["sources"].keys() == {"person"}
    assert summary["data"]["labels"]["labels:talk"]["rows"] == 24
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "Who disagreed" in page
    assert "RLHF" not in page  # nothing was optimised yet
    judged.store.close()
    moved = shutil.copy(judged.place, str(tmp_path / "moved.db"))
    assert walked(moved)[0] == []
    judged.judge(right)
    assert walked(judged.place)[0] == ["data", "reward"]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "comparisons"])
def test_every_export_is_read_back_as_the_same_labels(judged, tmp_path, form):
    judged.judge(lambda task: Judgement(choice="left", strength=1, rationale='so, "so"'))
    path = tmp_path / f"labels.{ENDINGS[form]}"
    path.write_bytes(b"".join(stream(judged.store, judged.project.id, form)))
    loaded = load(path)
    assert loaded.dialect == ("gnomon" if form == "comparisons" else "labels")
    lines = b"".join(stream(judged.store, judged.project.id, "jsonl")).splitlines()
    said = [json.loads(line) for line in lines]
    assert [
        (row.id, row.label.preference, row.label.annotator, row.label.source, row.label.reason)
        for row in loaded.records
    ] == [
        (
            f"{row['item']}/{row['annotator']}/1",
            {None: 0.5, 0: 1.0, 1: 0.0}[row["preferred"]],
            row["annotator"],
            "person",
            row["rationale"],
        )
        for row in said
    ]
    assert len(loaded.records) == 72
    texts = {row.id: (row.first, row.second, row.prompt) for row in ROWS}
    assert all((r.first, r.second, r.prompt) == texts[r.id.split("/")[0]] for r in loaded.records)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "comparisons"])
def test_every_export_names_what_was_decided_and_leaves_out_the_votes_on_it(talk, tmp_path, form):
    for strength in (1, 2):
        talk.judge(lambda task, strength=strength: Judgement(choice="left", strength=strength))
    settings = ProjectSettings(overlap=2, adjudicate="different")
    with talk.store.write() as tx:
        projects.settle(tx, talk.project, settings)
        made = projects.named(tx, "talk")
    bench, judge = Bench(talk.store), Turn(made, somebody(talk.store, made, "adjudicator").id)
    count = 0
    while isinstance(case := bench.next(judge), Case):
        bench.decide(judge, case.token, right(case), f"key-{case.token}")
        count += 1
    assert count > 3
    path = tmp_path / f"labels.{ENDINGS[form]}"
    path.write_bytes(b"".join(stream(talk.store, made.id, form)))
    read = load(path, on_bad_row="skip").records
    assert sum(row.label.adjudicated for row in read) == count
    assert len(read) == 2 * (len(ROWS) - count) + count
    better = {row.id: row.chosen for row in ROWS}
    assert all(row.chosen == better[row.id.split("/")[0]] for row in read if row.label.adjudicated)
    rows = comparisons(read_rows(talk.settings(labels={"db": talk.place, "method": "majority"}), 0))
    assert sum(row.label.adjudicated for row in rows) == count
    assert all(row.chosen == better[row.id.split("/")[1]] for row in rows if row.label.adjudicated)


def test_votes_of_which_half_are_flips_smooth_nothing(tmp_path):
    (tmp_path / FLIPS).write_text('{"estimated": 0.5, "lapses": 0.125}', "utf-8")
    with pytest.raises(DataError, match="50% of the votes are taken to be flips"):
        settled(RewardSettings(label_smoothing="estimated"), Artefact("0", "data", tmp_path))
    told = settled(RewardSettings(label_smoothing="lapses"), Artefact("0", "data", tmp_path))
    assert told.flips == 0.125


def test_lapses_that_nothing_tells_of_are_asked_for(tmp_path):
    (tmp_path / FLIPS).write_text('{"estimated": 0.25, "lapses": null}', "utf-8")
    with pytest.raises(DataError, match="whose answer is known, or one again"):
        settled(RewardSettings(label_smoothing="lapses"), Artefact("0", "data", tmp_path))
