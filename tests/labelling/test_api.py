import json
from contextlib import suppress

import httpx
import pytest
from office import DRAWN, arrive, key, pair, pairs, project, running, somebody, talking

from gnomon.labelling.client import LabelClient, RefusedError
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.store import people, projects


def test_a_project_from_its_making_to_its_labels(store):
    with running(store) as url, LabelClient(url, key(store, site_admin=True)) as admin:
        settings = ProjectSettings(gold_rate=0, repeat_rate=0, overlap=2)
        assert admin.create_project("talk", "Talk", settings).role == "admin"
        assert admin.add_items("talk", pairs(3)) == 3
        assert admin.settings("talk") == settings
        assert admin.write_guidelines("talk", "Be *fair*.").version == 1
        path = admin.invite("talk").path
        assert path.startswith("/join/")
        with store.read() as tx:
            made = projects.named(tx, "talk")
        with LabelClient(url, key(store, made)) as ada:
            assert [seen.slug for seen in ada.projects()] == ["talk"]
            assert ada.guidelines("talk").text == "Be *fair*."
            assert ada.standing("talk").model_dump() == {"done": 0, "left": 10}
            judge(ada, "talk", "left", 4)
            token = judge(ada, "talk", "tie")
            assert ada.undo("talk", token).earlier == Judgement(choice="tie", active_ms=5)
            judge(ada, "talk", "both_bad")
            ada.release("talk", ada.next("talk").task.token)
            judge(ada, "talk", "skip")
            assert ada.next("talk").state == "done"
        counts = admin.statistics("talk")
        assert counts["outcomes"] == {"prefer": 1, "both_bad": 1, "skip": 1}
        actions = [line["action"] for line in admin.audit("talk")]
        assert {"project created", "items imported", "invitation made", "label undone"} <= set(actions)
        with admin.export("talk") as pieces:
            rows = [json.loads(line) for line in b"".join(pieces).splitlines()]
        assert [row["outcome"] for row in rows] == ["prefer", "both_bad", "skip"]


def judge(client: LabelClient, slug: str, choice: str, strength: int | None = None) -> str:
    token = client.next(slug).task.token
    client.submit(slug, token, Judgement(choice=choice, strength=strength, active_ms=5))
    return token


def test_no_annotator_ever_sees_who_wrote_what_in_which_order_or_what_is_gold(store):
    """Model names, ids, the order shown and what a task is for: in no page, no JSON, no header."""
    items = [*pairs(3), pair("known", "gold", 1), pair("first", "qualification", 1)]
    items = [item.model_copy(update={"drawn": DRAWN}) for item in items]
    made = project(
        store, items, ProjectSettings(gold_rate=0.5, repeat_rate=0.5, repeat_gap=1, qualification_pass=0)
    )
    seen = []
    with running(store) as url:
        with LabelClient(url, key(store, made)) as ada:
            ada._http.event_hooks["response"] = [lambda reply: seen.append((reply.read(), reply.headers))]
            ada.projects()
            while (given := ada.next("p")).task:
                ada.submit("p", given.task.token, Judgement(choice="left", strength=1))
                with suppress(RefusedError):  # the last of the first round stays
                    ada.undo("p", given.task.token)
                    ada.submit("p", given.task.token, Judgement(choice="left", strength=1))
                ada.standing("p")
        with arrive(store, url, made, "annotator") as ben:
            for _ in range(8):
                page = ben.get("/p/p")
                seen.append((page.content, page.headers))
                if 'data-state="task"' not in page.text:
                    break
                fields = {name: value(page.text, f'name="{name}" value="') for name in ("csrf", "key")}
                token = value(page.text, 'data-token="')
                fields |= {"choice": "right-2", "active_ms": "", "elapsed_ms": "12"}
                asked = {"HX-Request": "true"}
                reply = ben.post(f"/p/p/tasks/{token}/label", data=fields, headers=asked)
                assert reply.status_code == 200, reply.text
                seen.append((reply.content, reply.headers))
    assert len(seen) > 20
    for body, headers in seen:
        text = body.decode().lower()
        for secret in ("secret-model", "origin", "order", "chosen_by", "propensity", "expected", "qualif"):
            assert secret not in text, secret
        for hidden in ("secret-digest", "attempts", "temperature", "logps"):
            assert hidden not in text, hidden
        for hidden in ('"gold', "purpose", "pass_number", "item_id", "external", "uniform", "repeat"):
            assert hidden not in text, hidden
        assert "secret-model" not in str(headers)


def test_the_form_works_without_scripts(store):
    made = project(store, pairs(2))
    with running(store) as url, arrive(store, url, made, "annotator") as ada:
        for _ in range(2):
            page = ada.get("/p/p").text
            action = "/p/p/tasks" + value(page, 'action="/p/p/tasks')
            fields = {name: value(page, f'name="{name}" value="') for name in ("csrf", "key", "active_ms")}
            reply = ada.post(action, data=fields)
            assert (reply.status_code, "choice" in reply.text) == (422, True)
            reply = ada.post(action, data={**fields, "choice": "tie", "left_flags": ["wrong", "harmful"]})
            assert (reply.status_code, reply.headers["location"]) == (303, "/p/p")
        assert 'data-state="done"' in ada.get("/p/p").text


def value(text: str, before: str) -> str:
    return text.split(before, 1)[1].split('"', 1)[0]


def test_a_submit_with_the_same_key_gives_the_same_reply(store):
    with talking(store, project(store, pairs(2))) as ada:
        token = ada.next("p").task.token
        body = Judgement(choice="right", strength=2)
        for _ in range(3):
            ada.submit("p", token, body, key="one-and-the-same")
        with pytest.raises(RefusedError, match="answered already") as refused:
            ada.submit("p", token, body, key="quite-another")
        assert refused.value.status == 409
        assert ada.standing("p").done == 1


def test_bodies_that_make_no_sense_are_told_where(store):
    with running(store) as url, LabelClient(url, key(store, site_admin=True)) as admin:
        project(store, pairs(1))
        for method, path, body, said in (
            ("POST", "/projects/p/items", [{"id": "x"}], "body.0.prompt"),
            ("PUT", "/projects/p/settings", {"overlap": 0}, "overlap"),
            ("PUT", "/projects/p/settings", {"overlop": 1}, "overlop"),
            ("POST", "/projects", {"slug": "A b", "title": "x"}, "small letters"),
            ("POST", "/projects/p/invitations", {"role": "king"}, "role"),
        ):
            with pytest.raises(RefusedError, match=said) as refused:
                admin._json(method, path, body)
            assert refused.value.status in (400, 422)


def test_items_come_all_or_none(store):
    with talking(store, project(store, pairs(1)), "admin") as admin:
        with pytest.raises(RefusedError, match="'pair-0' is there already"):
            admin.add_items("p", [pair("new"), pair("pair-0")])
        assert admin.statistics("p")["items"] == {"ordinary": 1}


def test_a_key_does_no_more_than_it_says_and_nothing_once_revoked(store):
    made = project(store, pairs(1))
    owner = somebody(store, made, "admin")
    with store.write() as tx:
        whole = people.create_key(tx, owner.id, {"label", "read", "manage"})
    with running(store) as url, LabelClient(url, whole) as admin:
        reads = admin.create_key(["read"], "p")
        with LabelClient(url, reads) as narrow:
            assert narrow.statistics("p")["labels"] == 0
            for act in (
                lambda: narrow.next("p"),
                lambda: narrow.invite("p"),
                lambda: narrow.create_key(["label"]),
            ):
                with pytest.raises(RefusedError) as refused:
                    act()
                assert refused.value.status == 403
            (shown,) = [row for row in admin._json("GET", "/keys") if row["scopes"] == ["read"]]
            assert reads not in str(shown)
            assert shown["project"] == "p"
            admin._json("DELETE", f"/keys/{shown['id']}")
            with pytest.raises(RefusedError, match="sign in") as refused:
                narrow.statistics("p")
            assert refused.value.status == 401


def test_a_key_handles_no_key_that_may_do_more_than_itself(store):
    made = project(store, pairs(1))
    owner = somebody(store, made, "admin")
    with store.write() as tx:
        whole, labels, one = (
            people.create_key(tx, owner.id, scopes, only)
            for scopes, only in (({"label", "manage"}, None), ({"label"}, None), ({"label"}, made.id))
        )
    with running(store) as url, LabelClient(url, whole) as admin:
        shown = [key["id"] for key in admin._json("GET", "/keys")]
        for narrow, seen in ((labels, shown[1:]), (one, [])):
            with LabelClient(url, narrow) as program:
                assert [key["id"] for key in program._json("GET", "/keys")] == seen
                with pytest.raises(RefusedError, match="more than itself") as refused:
                    program._json("DELETE", f"/keys/{shown[0]}")
                assert refused.value.status == 403
        assert [key["id"] for key in admin._json("GET", "/keys")] == shown
        with pytest.raises(RefusedError, match="no such key"):
            admin._json("DELETE", "/keys/999")
        with LabelClient(url, labels) as program:
            program._json("DELETE", f"/keys/{shown[2]}")


def test_a_key_of_one_project_is_worth_nothing_in_another(store):
    one, other, third = (project(store, pairs(1), slug=slug) for slug in "pqr")
    owner = somebody(store, one, "admin")
    with store.write() as tx:
        people.join(tx, other.id, owner.id, "admin")
        narrow = people.create_key(tx, owner.id, {"label", "read"}, one.id)
        link = people.invite(tx, "admin", third.id)
    as_program = {"Authorization": f"Bearer {narrow}", "Sec-Fetch-Site": "same-origin"}
    with running(store) as url, LabelClient(url, narrow) as client:
        home = httpx.get(url, headers=as_program).text
        assert ('href="/p/p"' in home, "/p/q" in home, "/p/p/adjudicate" in home) == (True, False, False)
        joined = httpx.post(f"{url}/join/{link}", headers=as_program)
        assert (joined.status_code, "links are for people" in joined.text) == (403, True)
        with store.read() as tx:
            assert people.members(tx, third.id) == []
        assert [seen.slug for seen in client.projects()] == ["p"]
        with pytest.raises(RefusedError) as refused:
            client.statistics("q")
        assert refused.value.status == 404


def test_the_interface_describes_itself(store):
    with running(store) as url:
        described = httpx.get(f"{url}/api/openapi.json").json()
    assert "/api/v1/projects/{slug}/next" in described["paths"]
    assert all(path.startswith("/api/v1/") for path in described["paths"])
