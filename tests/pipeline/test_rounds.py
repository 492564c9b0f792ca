"""Pairs of the tiny model into a project, judged there, and back as data of a reward model."""

import json
from math import fsum, isclose

import pytest
from office import DRAWN, PLAIN, project, running, somebody

from gnomon.config import DataSettings
from gnomon.data.reader import LABELS
from gnomon.errors import ConfigError, DataError, ModelError
from gnomon.labelling.client import LabelClient
from gnomon.labelling.export import stream
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.store import people, projects
from gnomon.labelling.store.database import open_store
from gnomon.labelling.store.tables import items, rounds
from gnomon.models.load import load
from gnomon.pipeline import collect
from gnomon.pipeline.collect import Asking
from gnomon.pipeline.project import read_rows
from gnomon.pipeline.rounds import collect_into
from gnomon.records import Conversation, Prompt
from gnomon.rollouts.endpoint import EndpointEngine
from gnomon.rollouts.engine import Sample, Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.runs import AGAIN

PROMPTS = [Prompt(f"p{i}", Conversation.of(f"question {i}")) for i in range(5)]
SHORT = Sampling(max_new_tokens=6)
TINY = Asking("tiny:0", PROMPTS, 0, SHORT)
NOTHING = {"demonstrations": (), "prompts": (), "red_team": (), "evaluation": ()}


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path / "labels.db")
    yield opened
    opened.close()


@pytest.fixture
def talk(store):
    return project(store, [], PLAIN, "talk")


@pytest.fixture(scope="module")
def tiny():
    return LocalEngine(load("tiny:0", dtype="float32"))


@pytest.fixture
def small(monkeypatch):
    """Two pairs at a time."""
    monkeypatch.setattr(collect, "BATCH", 2)


def never():
    raise AssertionError("there is nothing to ask it")


def kept(store):
    """The items of the database, as they are."""
    with store.read() as tx:
        query = items.select().order_by(items.c.id)
        found = [row._asdict() for row in tx.connection.execute(query)]
        answers = projects.responses_of(tx, [row["id"] for row in found])
    return [
        (row["external_id"], row["prompt"], row["drawn"], answers[row["id"]], row["purpose"]) for row in found
    ]


def test_pairs_wait_in_the_project_with_how_they_were_sampled(store, talk, tiny):
    assert collect_into(store, "talk", TINY, 4, lambda: tiny) == (4, 4, {})
    found = kept(store)
    assert len({name for name, *_ in found}) == len(found) == 4
    for place, (_, prompt, drawn, answers, purpose) in enumerate(found):
        assert purpose == "ordinary"
        assert {origin for _, origin in answers} == {"tiny:0"}
        texts = [messages[0]["content"] for messages, _ in answers]
        assert texts[0] != texts[1]
        assert drawn["propensity"] == 1 / (5 - place)
        assert drawn["sampling"] == {"max_new_tokens": 6, "temperature": 1, "top_k": None, "top_p": None}
        assert (drawn["policy"], drawn["digest"], drawn["seed"]) == ("tiny:0", "", 0)
        assert drawn.keys() == type(DRAWN).model_fields.keys()
        assert prompt[0]["content"].startswith("question ")


def test_log_probs_stand_beside_the_answer_they_are_of(store, talk, tiny):
    """Under another seed the same tokens would have other ones: each is held against the model's own."""
    told = {}

    class Noted(LocalEngine):
        def answer(self, *of, **more):
            samples = super().answer(*of, **more)
            told.update({sample.text: sample for sample in samples})
            return samples

    collect_into(store, "talk", TINY, 5, lambda: Noted(tiny.lm))
    for _, _, drawn, answers, _ in kept(store):
        for place, (messages, _) in enumerate(answers):
            sample = told[messages[0]["content"]]
            assert isclose(drawn["logps"][place], fsum(sample.logps), abs_tol=1e-9)
            assert drawn["tokens"][place] == len(sample.response_ids)
            assert drawn["ended"][place] == sample.ended


def test_the_same_again_adds_nothing_and_asks_nobody(store, talk, tiny):
    collect_into(store, "talk", TINY, 4, lambda: tiny)
    before = kept(store)
    assert collect_into(store, "talk", TINY, 4, never) == (4, 0, {})
    assert collect_into(store, "talk", TINY, 2, never) == (4, 0, {})
    assert kept(store) == before


def test_more_of_a_round_goes_on_and_another_round_stands_beside_it(store, talk, tiny):
    collect_into(store, "talk", TINY, 3, lambda: tiny)
    assert collect_into(store, "talk", TINY, 6, lambda: tiny) == (6, 3, {})
    asked = [prompt[0]["content"] for _, prompt, *_ in kept(store)]
    assert sorted(asked[:5]) == [f"question {i}" for i in range(5)], "each once before any comes again"
    other = Asking("tiny:0", PROMPTS, 1, SHORT)
    assert collect_into(store, "talk", other, 3, lambda: tiny) == (3, 3, {})
    names = [name for name, *_ in kept(store)]
    assert len(set(names)) == 9


@pytest.mark.usefixtures("small")
def test_what_breaks_off_goes_on_as_if_it_had_not(store, talk, tiny, tmp_path):
    class Breaking(LocalEngine):
        calls = 0

        def answer(self, *of, **more):
            self.calls += 1
            if self.calls == 3:
                raise ModelError(f"it is gone; look after it {AGAIN}")
            return super().answer(*of, **more)

    with pytest.raises(ModelError, match="it is gone"):
        collect_into(store, "talk", TINY, 8, lambda: Breaking(tiny.lm))
    assert len(kept(store)) == 4, "two batches were whole"
    assert collect_into(store, "talk", TINY, 8, lambda: tiny) == (8, 4, {})
    whole = open_store(tmp_path / "whole.db")
    project(whole, [], PLAIN, "talk")
    collect_into(whole, "talk", TINY, 8, lambda: tiny)
    assert kept(whole) == kept(store)
    whole.close()


class Script:
    """An engine that says lines in turn, two for each prompt, and like a server tells no log-probs."""

    def __init__(self, *rounds):
        self.rounds = list(rounds)

    def sample(self, prompts, sampling, seeds):
        raise NotImplementedError

    def answer(self, conversations, sampling, seed=0, *, raw=False):
        return [Sample((), (-1,), (), text, True) for text in self.rounds.pop(0)]


@pytest.mark.usefixtures("small")
def test_identical_answers_are_counted_and_not_queued(store, talk):
    engine = Script(["a", "b", "c", "c"], *[["c", "c"]] * 2, ["c", "d"], *[["e"] * 4] * 4)
    assert collect_into(store, "talk", TINY, 4, lambda: engine) == (2, 2, {"identical": 2})
    assert [drawn["attempts"] for _, _, drawn, *_ in kept(store)] == [1, 4]
    assert [drawn["logps"] for _, _, drawn, *_ in kept(store)] == [[None, None]] * 2
    assert collect_into(store, "talk", TINY, 4, never) == (2, 0, {"identical": 2})
    with store.read() as tx:
        (row,) = tx.connection.execute(rounds.select()).all()
    assert (row.asked, row.pairs, row.skipped) == (4, 2, {"identical": 2})


@pytest.mark.usefixtures("small")
def test_a_policy_with_one_answer_to_everything_is_told(store, talk):
    for engine in (lambda: Script(*[["c"] * 4] * 4), never):
        with pytest.raises(DataError, match="identical for 2"):
            collect_into(store, "talk", TINY, 2, engine)
    assert kept(store) == []


def test_other_weights_behind_one_name_are_another_round_and_a_moved_folder_is_none(
    store, talk, tmp_path, tiny
):
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    asking = Asking(f"path:{folder}", PROMPTS, 0, SHORT)
    collect_into(store, "talk", asking, 2, lambda: tiny)
    moved = folder.rename(tmp_path / "moved")
    assert collect_into(store, "talk", Asking(f"path:{moved}", PROMPTS, 0, SHORT), 2, never).added == 0
    (moved / "config.json").write_text('{"trained": true}')
    assert collect_into(store, "talk", Asking(f"path:{moved}", PROMPTS, 0, SHORT), 2, lambda: tiny).added == 2
    with pytest.raises(ModelError, match="there is no such folder"):
        collect_into(store, "talk", asking, 2, never)


def test_a_project_must_be_there(store):
    with pytest.raises(ConfigError, match="there is no project 'talk'"):
        collect_into(store, "talk", TINY, 2, never)


def test_a_model_on_a_server_answers_as_well(store, talk, server):
    asking = Asking(str(server.ref), PROMPTS, 0, SHORT)
    assert collect_into(store, "talk", asking, 3, lambda: EndpointEngine(server.ref)).added == 3
    assert all(drawn["policy"] == str(server.ref) for _, _, drawn, *_ in kept(store))
    assert all(drawn["logps"] == [None, None] for _, _, drawn, *_ in kept(store)), "chats tell none"


def judged(store, talk):
    """Everything judged by two people over HTTP, who like what is later in the alphabet; how many votes."""
    votes = 0
    with running(store) as url:
        for _ in range(2):
            who = somebody(store, talk)
            with store.write() as tx:
                key = people.create_key(tx, who.id, {"label"})
            with LabelClient(url, key) as client:
                while (task := client.next("talk").task) is not None:
                    left, right = (answer[0]["content"] for answer in task.responses)
                    choice = "left" if left > right else "right"
                    client.submit("talk", task.token, Judgement(choice=choice, strength=2))
                    votes += 1
    return votes


def test_votes_on_collected_pairs_come_back_as_comparisons_of_people(store, tmp_path, tiny):
    talk = project(store, [], PLAIN.model_copy(update={"overlap": 2}), "talk")
    collect_into(store, "talk", TINY, 5, lambda: tiny)
    assert judged(store, talk) == 10
    settings = DataSettings(
        **NOTHING, comparisons=(f"{LABELS}talk",), labels={"db": str(tmp_path / "labels.db")}
    )
    data = read_rows(settings, 0)
    rows = (*data.reward, *data.second, *data.test)
    assert {row.id for row in rows} == {f"talk/{name}" for name, *_ in kept(store)}
    assert {row.label.source for row in rows} == {"person"}
    for row in rows:
        assert (row.label.preference > 0.5) == (row.first[0].content > row.second[0].content)
    exported = [json.loads(line) for line in b"".join(stream(store, talk.id, "jsonl")).splitlines()]
    assert all(row["drawn"]["policy"] == "tiny:0" for row in exported)
    with store.write() as tx:
        projects.settle(tx, talk, talk.settings.model_copy(update={"source": "planted"}))
    rows = read_rows(settings, 0)
    assert {row.label.source for row in (*rows.reward, *rows.second, *rows.test)} == {"planted"}
