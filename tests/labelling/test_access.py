"""Every route, asked by everybody who may not: generated from the routes, so that a new one is in it."""

import json
import re

import httpx
import pytest
from fastapi.routing import APIRoute
from office import arrive, browser, key, pair, pairs, project, running

from gnomon.labelling import guard
from gnomon.labelling.app import create_app
from gnomon.labelling.auth import Needs, signed_in, site_admin
from gnomon.labelling.client import LabelClient
from gnomon.labelling.guard import MOST, STRANGERS
from gnomon.labelling.settings import GRANTS
from gnomon.labelling.store import projects
from gnomon.labelling.store.database import open_store

OPEN = {("GET", "/login"), ("POST", "/login"), ("GET", "/join/{token}"), ("POST", "/join/{token}")}
OPEN |= {("GET", f"/oidc/{end}") for end in ("start", "callback", "left")}
"""What needs no account: these are the ways to one."""


def calls(dependant) -> list:
    """Everything a route depends on, however deep."""
    return [call for each in dependant.dependencies for call in (each.call, *calls(each))]


def routes(router) -> list[tuple[str, str, list]]:
    """Method, path and what it depends on of each route that is not a file or the description."""
    table = []
    for route in router.routes:
        if isinstance(route, APIRoute):
            table += [(method, route.path, calls(route.dependant)) for method in sorted(route.methods)]
        elif hasattr(route, "original_router"):  # newer FastAPI keeps what is included as it is
            table += routes(route.original_router)
    return table


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Two projects, one of them with everybody who could try, and the routes."""
    store = open_store(tmp_path_factory.mktemp("site") / "labels.db")
    made, other = project(store, pairs(9)), project(store, pairs(3), slug="other")
    callers = {f"{role} elsewhere": key(store, other, role) for role in GRANTS}
    callers |= {role: key(store, made, role) for role in GRANTS}
    with running(store) as url:
        yield store, url, callers, routes(create_app(store))
    store.close()


def ask(url: str, method: str, path: str, key: str | None = None) -> httpx.Response:
    where = path.format(slug="p", token="a-token", key="1", hook="1", number="1", pseudonym="a-one")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    headers |= {"Idempotency-Key": "key-12345", "Sec-Fetch-Site": "same-origin"}
    return httpx.request(method, f"{url}{where}", headers=headers, json={} if method != "GET" else None)


def test_every_route_needs_an_account_but_for_the_ways_to_one(site):
    _, url, _, table = site
    assert len(table) > 30
    for method, path, needs in table:
        if (method, path) in OPEN:
            continue
        assert signed_in in needs, f"{method} {path}"
        reply = ask(url, method, path)
        kept_out = reply.status_code == 401 or (
            reply.status_code == 303 and reply.headers["location"].startswith("/login?")
        )
        assert kept_out, f"{method} {path}: {reply.status_code}"


def test_every_route_of_a_project_is_closed_to_those_of_another(site):
    _, url, callers, table = site
    of_projects = [(method, path, needs) for method, path, needs in table if "{slug}" in path]
    assert len(of_projects) > 40
    for method, path, needs in of_projects:
        assert any(isinstance(call, Needs) for call in needs), f"{method} {path}"
        for role in GRANTS:
            reply = ask(url, method, path, callers[f"{role} elsewhere"])
            assert reply.status_code == 404, f"{role} elsewhere, {method} {path}: {reply.status_code}"
            assert "no part in it" in reply.text


def test_every_route_of_a_project_is_closed_to_the_wrong_role_and_open_to_the_right_one(site):
    _, url, callers, table = site
    assert len(table) > 30
    for method, path, needs in table:
        (wanted,) = [call.permission for call in needs if isinstance(call, Needs)] or [None]
        if wanted is None:
            continue
        for role, granted in GRANTS.items():
            reply = ask(url, method, path, callers[role])
            where = f"{role}, {method} {path}: {reply.status_code}"
            assert (reply.status_code == 403) == (wanted not in granted), where
            assert reply.status_code < 500, where


def test_site_routes_are_for_site_administrators(site):
    _, url, callers, table = site
    of_site = [(method, path) for method, path, needs in table if site_admin in needs]
    assert ("POST", "/api/v1/projects") in of_site
    for method, path in of_site:
        assert {ask(url, method, path, key).status_code for key in callers.values()} == {403}


def test_an_unknown_key_is_nobody(site):
    _, url, _, _ = site
    for bad in ("gnomon_x", "", "x" * 5000):
        assert ask(url, "GET", "/api/v1/projects", bad).status_code == 401


def test_of_a_stranger_little_is_read(site, monkeypatch):
    """Before anybody is asked who they are, and whether or not the length is told; of others more is."""
    _, url, callers, _ = site
    items = json.dumps([pair(f"long-{k}-{'x' * 400}").model_dump(mode="json") for k in range(60)]).encode()
    assert STRANGERS < len(items) < MOST

    def sent(content, key: str = "nobody") -> tuple[int, bool]:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        reply = httpx.post(f"{url}/api/v1/projects/p/items", headers=headers, content=content)
        return reply.status_code, "send less" in reply.text

    assert sent(items) == sent(iter([items])) == (413, True)
    assert sent(items[:1000])[0] in (401, 422)
    assert sent(items, callers["admin"]) == (201, False)
    monkeypatch.setattr(guard, "MOST", STRANGERS + 1)
    assert sent(items, callers["admin"]) == (413, True)


def test_a_token_of_another_project_opens_nothing(site):
    store, url, _, _ = site
    with store.read() as tx:
        one, other = projects.named(tx, "p"), projects.named(tx, "other")
    with LabelClient(url, key(store, one)) as ada, LabelClient(url, key(store, other, "admin")) as mallory:
        token = ada.next("p").task.token
        reply = mallory._http.post(f"/projects/other/tasks/{token}/undo")
        assert (reply.status_code, "no such task" in reply.text) == (409, True)


def form_of(page: str) -> dict[str, str]:
    return {"csrf": re.search(r'name="csrf" value="([^"]*)"', page)[1], "role": "annotator"}


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({}, False),
    ],
)
def test_requests_that_other_sites_forge_are_refused(site, headers, allowed):
    store, url, _, _ = site
    with arrive(store, url, name=f"Ada {headers}") as ada:
        fields = form_of(ada.get("/p/p/results").text)
        del ada.headers["sec-fetch-site"]
        reply = ada.post("/p/p/invite", data=fields, headers=headers)
        assert reply.status_code == (200 if allowed else 403)
        host = {"Origin": url} if allowed else headers
        assert ada.post("/p/p/invite", data=fields, headers=host).status_code == (200 if allowed else 403)
        assert ada.post("/p/p/invite", data={"role": "annotator"}, headers=host).status_code == 403
        assert ada.post("/p/p/invite", data=fields | {"csrf": "0" * 64}, headers=host).status_code == 403
        for path in ("/login", "/join/a-token"):
            sent = browser(url)
            del sent.headers["sec-fetch-site"]
            reply = sent.post(path, data={"name": "x", "password": "y"}, headers=host)
            assert (reply.status_code == 403 and "another site" in reply.text) == (not allowed)
