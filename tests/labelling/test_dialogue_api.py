"""Dialogues over HTTP: by programs and by pages, with real engines here and on a server."""

import json
import re
import subprocess
import sys
import time
from threading import Event

import httpx
import pytest
from hostile import PAYLOADS
from office import arrive, exported, key, lines, pairs, project, running
from serving import local_engine
from serving import running as serving
from talking import LEFT, TIE, answers, live, partner, scripted, tiny

from gnomon.config import DataSettings
from gnomon.data.reader import LABELS
from gnomon.labelling.client import LabelClient, RefusedError
from gnomon.labelling.partner import Partner
from gnomon.labelling.reach import Reach, Within
from gnomon.labelling.store.database import open_store
from gnomon.pipeline.project import read_rows
from gnomon.rollouts.endpoint import EndpointEngine
from gnomon.rollouts.server import Patience

SECRETS = (
    *("secret-policy", "secret-digest", "origin", "order", "chosen_by", "propensity", "attempts"),
    *("seed", "temperature", "logps", "goes_on"),
)


@pytest.fixture
def store(tmp_path):
    """SQLite alone: what depends on the database is tested beside."""
    opened = open_store(tmp_path / "labels.db")
    yield opened
    opened.close()


def test_a_program_leads_a_dialogue_and_its_votes_are_data_to_train_on(store, tmp_path):
    made = live(store, ["cats"], turns=2)
    with running(store, partner=partner()) as url, LabelClient(url, key(store, made)) as ada:
        begun = ada.next_dialogue("p").dialogue
        assert (begun.state, begun.left, begun.topic[0]["content"]) == ("write", 2, "Ask about cats.")
        assert ada.next("p").state == "dialogue"
        for message, judgement in (("Hello?", LEFT), ("And then?", TIE)):
            talk = answers(ada, "p", message)
            assert (talk.token, talk.state, talk.messages[-1]["content"]) == (begun.token, "judge", message)
            assert ada.next("p").task == talk.task
            ada.submit("p", talk.task.token, judgement)
        assert ada.undo("p", talk.task.token).earlier == TIE
        ada.submit("p", talk.task.token, LEFT)
        assert ada.next_dialogue("p").state == "done"
        assert ada.standing("p").model_dump() == {"done": 2, "left": 0}
        with pytest.raises(RefusedError, match="does not wait") as refused:
            ada.say("p", begun.token, "More?")
        assert refused.value.status == 409
    nothing = {"demonstrations": (), "prompts": (), "red_team": (), "evaluation": ()}
    settings = DataSettings(
        **nothing,
        comparisons=(f"{LABELS}p",),
        labels={"db": str(tmp_path / "labels.db"), "method": "majority"},
    )
    data = read_rows(settings, 0)
    rows = sorted((*data.reward, *data.second, *data.test), key=lambda row: row.id)
    assert [row.id for row in rows] == [f"p/{begun.token}/{number}" for number in (1, 2)]
    assert [len(row.prompt.messages) for row in rows] == [1, 3]
    assert {row.label.source for row in rows} == {"person"}


def test_a_key_makes_one_turn_however_often_it_is_sent(store):
    made = live(store)
    with running(store, partner=scripted()) as url, LabelClient(url, key(store, made)) as ada:
        token = ada.next_dialogue("p").dialogue.token
        for _ in range(20):
            assert len(ada.say("p", token, "Hello?", "key-12345").messages) == 1
        ada.end_dialogue("p", token)
        assert ada.next_dialogue("p").dialogue.token != token


def test_without_a_model_the_interface_says_503_and_pages_say_what_to_do(store):
    made = live(store)
    with running(store) as url:
        with LabelClient(url, key(store, made)) as ada:
            for act in (lambda: ada.next_dialogue("p"), lambda: ada.say("p", "a-token", "Hello?")):
                with pytest.raises(RefusedError, match="no model is connected") as refused:
                    act()
                assert refused.value.status == 503
        with arrive(store, url, made, "annotator", name="Ben") as ben:
            page = ben.get("/p/p").text
            assert ('data-state="no_model"' in page, "Tell whoever runs" in page) == (True, True)
            assert "--model" not in page
        with arrive(store, url, made, "admin", name="Ada") as ada:
            assert "--model MODEL" in ada.get("/p/p").text
            assert "no model is connected" in ada.get("/p/p/results").text
            asked = {"X-CSRF-Token": value(ada.get("/p/p/results").text, 'name="csrf" value="')}
            fields = {"message": "Hello?", "key": "key-12345"}
            reply = ada.post("/p/p/dialogue/a-token/say", data=fields, headers=asked)
            assert (reply.status_code, "no model is connected" in reply.text) == (503, True)


def test_a_server_without_a_model_knows_nothing_of_models():
    heavy = "{'torch', 'transformers'} & sys.modules.keys()"
    command = f"import sys, gnomon.labelling.server; sys.exit(str({heavy}) if {heavy} else 0)"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_project_of_pairs_has_no_dialogues(store):
    made = project(store, pairs(1))
    with running(store, partner=scripted()) as url, LabelClient(url, key(store, made)) as ada:
        for act in (
            lambda: ada.next_dialogue("p"),
            lambda: ada.say("p", "a-token", "Hello?"),
            lambda: ada.end_dialogue("p", "a-token"),
        ):
            with pytest.raises(RefusedError, match="there are no dialogues in p") as refused:
                act()
            assert refused.value.status == 400


def value(text: str, before: str) -> str:
    return text.split(before, 1)[1].split('"', 1)[0]


class Holding:
    """A real engine that waits until it may answer."""

    def __init__(self):
        self.may = Event()

    def answer(self, *of, **more):
        assert self.may.wait(60)
        return tiny().answer(*of, **more)


def test_the_page_works_without_scripts_and_tells_nothing_of_the_model(store):
    made, engine, seen = live(store), Holding(), []
    held = Partner(engine, "secret-policy", timeout=-1.0)  # slow from the beginning
    with running(store, partner=held) as url, arrive(store, url, made, "annotator") as ben:
        ben.event_hooks["response"] = [lambda reply: seen.append((reply.read(), reply.headers))]
        page = ben.get("/p/p").text
        assert 'data-state="write"' in page
        fields = {name: value(page, f'name="{name}" value="') for name in ("csrf", "key")}
        say = "/p/p/dialogue" + value(page.split('id="answer"')[1], 'action="/p/p/dialogue')
        assert ben.post(say, data={**fields, "message": " "}).status_code == 400
        for _ in range(2):
            reply = ben.post(say, data={**fields, "message": PAYLOADS[0]})
            assert (reply.status_code, reply.headers["location"]) == (303, "/p/p")
        page = ben.get("/p/p").text
        assert ('data-state="slow"' in page, "takes longer" in page) == (True, True)
        assert (PAYLOADS[0] in page, "&lt;script&gt;alert(1)" in page) == (False, True)
        assert ben.get("/p/p/dialogue?seen=slow").status_code == 204
        engine.may.set()
        while (reply := ben.get("/p/p/dialogue?seen=slow")).status_code == 204:
            time.sleep(0.05)
        page = reply.text
        assert 'data-state="task"' in page
        token = value(page, 'data-token="')
        vote = {**fields, "choice": "left-3", "rationale": "so"}
        assert ben.post(f"/p/p/tasks/{token}/label", data=vote).status_code == 303
        page = ben.get("/p/p").text
        assert ('data-state="write"' in page, "You can write 1 more" in page) == (True, True)
        undone = ben.post(f"/p/p/tasks/{token}/undo", data=fields)
        assert ('value="left-3"' in undone.text, "checked" in undone.text) == (True, True)
        end = value(undone.text, 'action="')
        assert end.endswith("/end")
        assert ben.post(end, data=fields).status_code == 303
        assert 'data-state="write"' in ben.get("/p/p").text
    assert len(seen) > 10
    for body, headers in seen:
        text = body.decode().lower()
        for secret in SECRETS:
            assert secret not in text, secret
        assert "secret" not in str(headers)


def test_programs_are_told_nothing_of_the_model(store):
    made, seen = live(store), []
    with running(store, partner=partner()) as url, LabelClient(url, key(store, made)) as ada:
        ada._http.event_hooks["response"] = [lambda reply: seen.append(reply.read().decode().lower())]
        for message in ("One", "Two"):
            talk = answers(ada, "p", message)
            ada.submit("p", talk.task.token, LEFT)
        ada.undo("p", talk.task.token)
    assert len(seen) > 6
    for text in seen:
        for secret in SECRETS:
            assert secret not in text, secret


def test_a_page_that_waits_signed_out_is_told_so(store):
    live(store)
    with running(store) as url:
        reply = httpx.get(f"{url}/p/p/dialogue", headers={"HX-Request": "true"})
        assert (reply.status_code, reply.text) == (401, "sign in first")


def remote(server, *allowed: str) -> Partner:
    """The model of a server, called as far as somebody allowed."""
    context, patience = httpx.create_ssl_context(), Patience(attempts=1, timeout=10.0)
    reach = Reach.of(allowed)
    engine = EndpointEngine(server.ref, patience=patience, transport=lambda: Within(reach, context))
    return Partner(engine, str(server.ref))


def test_a_model_on_a_server_answers_where_that_is_allowed(store):
    made = live(store)
    with serving(local_engine()) as server:
        allowed = remote(server, "127.0.0.1")
        with running(store, partner=allowed) as url, LabelClient(url, key(store, made)) as ada:
            talk = answers(ada, "p", "Hello?")
            ada.submit("p", talk.task.token, LEFT)
        assert [body["messages"] for _, body, _ in server.seen[:2]] == [
            [{"role": "user", "content": "Hello?"}]
        ] * 2
        seeds = sorted(body["seed"] for _, body, _ in server.seen[:2])
        (row,) = lines(exported(store, made, "jsonl"))
        assert row["drawn"]["logps"] == [None, None]
        assert row["drawn"]["policy"] == str(server.ref)
        if row["drawn"]["attempts"] == 1:
            assert seeds == [row["drawn"]["seed"], row["drawn"]["seed"] + 1]


def test_a_model_where_only_the_server_can_go_is_not_called(store):
    made = live(store)
    with serving(local_engine()) as server:
        with running(store, partner=remote(server)) as url, LabelClient(url, key(store, made)) as ada:
            assert answers(ada, "p", "Hello?").state == "failed"
        assert server.seen == []
    with running(store) as url, LabelClient(url, key(store, made, "admin")) as admin:
        told = json.dumps(admin.audit("p"))
        assert re.search(r"does not lead to the public internet.*--allow-target", told)
