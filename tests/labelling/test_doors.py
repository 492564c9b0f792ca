import re
from contextlib import ExitStack
from pathlib import Path

import pytest
from office import PASSWORD, arrive, browser, pairs, project, running, together
from sqlalchemy import select

from gnomon.errors import ConfigError
from gnomon.labelling import tokens
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.queue import Queue, Turn
from gnomon.labelling.store import people, votes
from gnomon.labelling.store.database import Store, scrub
from gnomon.labelling.store.tables import metadata
from gnomon.labelling.tokens import digest, hash_password, password_fits


def sign_in(url: str, name: str, password: str, next: str = "/"):
    with browser(url) as seen:
        return seen.post("/login", data={"name": name, "password": password, "next": next})


def everything(store: Store) -> str:
    with store.read() as tx:
        return str([tx.connection.execute(select(table)).all() for table in metadata.sorted_tables])


def test_a_fresh_start_has_no_account_and_no_secret_but_the_one_link(store):
    with store.read() as tx:
        assert not people.has_site_admin(tx)
        for table in metadata.sorted_tables:
            assert tx.connection.execute(select(table)).all() == []
    with running(store) as url, browser(url) as seen:
        for name in ("admin", "root", "gnomon", ""):
            assert sign_in(url, name, name or "password").status_code in (403, 422)
        assert seen.get("/").headers["location"] == "/login?next=/"
        assert seen.post("/join/", data={}).status_code in (404, 405)


def test_a_one_time_link_works_once(store):
    with store.write() as tx:
        token = people.invite(tx, "admin")
    assert token not in everything(store)
    with running(store) as url, browser(url) as first, browser(url) as second:
        assert first.get(f"/join/{token}").status_code == 200
        assert first.get(f"/join/{token}").status_code == 200
        reply = first.post(f"/join/{token}", data={"name": "Ada", "password": "short"})
        assert (reply.status_code, "at least 10 characters" in reply.text) == (422, True)
        assert first.post(f"/join/{token}", data={"name": "Ada", "password": PASSWORD}).status_code == 303
        assert first.get("/").status_code == 200
        assert second.get(f"/join/{token}").status_code == 404
        reply = second.post(f"/join/{token}", data={"name": "Eve", "password": PASSWORD})
        assert (reply.status_code, "used already" in reply.text) == (422, True)
    with store.read() as tx:
        assert people.has_site_admin(tx)


def test_a_link_that_is_too_old_is_worth_nothing(store, clock):
    with store.write() as tx:
        token = people.invite(tx, "admin")
        assert people.invitation(tx, token)
    clock.pass_minutes(7 * 24 * 60)
    with store.read() as tx:
        assert people.invitation(tx, token) is None


def test_a_new_first_link_makes_the_old_one_worthless(store):
    with store.write() as tx:
        old = people.invite(tx, "admin")
        people.withdraw_site_invitations(tx)
        new = people.invite(tx, "admin")
        assert people.invitation(tx, old) is None
        assert people.invitation(tx, new)


def test_people_sign_in_and_out_again(store, clock):
    made = project(store, pairs(2))
    with running(store) as url, arrive(store, url, made, "annotator") as seen:
        cookie = seen.cookies["gnomon_session"]
        assert seen.get("/").headers["location"] == "/p/p"
        page = seen.get("/p/p").text
        csrf = re.search(r'name="csrf" value="(\w+)"', page)[1]
        assert seen.post("/logout", data={"csrf": csrf}).status_code == 303
        seen.cookies.set("gnomon_session", cookie)
        assert seen.get("/p/p").status_code == 303
        assert sign_in(url, "Ada", "wrong password").status_code == 403
        reply = sign_in(url, " Ada ", PASSWORD, "/p/p")
        assert (reply.status_code, reply.headers["location"]) == (303, "/p/p")
        again = reply.headers["set-cookie"].split("=", 1)[1].split(";")[0]
        assert cookie not in everything(store)
        assert again not in everything(store)
        with store.read() as tx:
            assert people.session_of(tx, again)
        clock.pass_minutes(14 * 24 * 60)
        with store.read() as tx:
            assert people.session_of(tx, again) is None


@pytest.mark.parametrize(
    "next", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x", ""]
)
def test_signing_in_leads_nowhere_else(store, next):
    with running(store) as url:
        with arrive(store, url):
            pass
        assert sign_in(url, "Ada", PASSWORD, next).headers["location"] == "/"


def test_passwords_cannot_be_tried_for_long(store, clock):
    with running(store) as url:
        with arrive(store, url):
            pass
        for _ in range(10):
            assert sign_in(url, "Ada", "wrong password").status_code == 403
        reply = sign_in(url, "Ada", PASSWORD)
        assert (reply.status_code, "too many wrong passwords" in reply.text) == (429, True)
        assert "Ada" not in str([row for row in everything(store).split("[") if "wrong password" in row])
        clock.pass_minutes(16)
        assert sign_in(url, "Ada", PASSWORD).status_code == 303


def test_many_passwords_at_once_are_no_more_than_one_after_the_other(store):
    with running(store) as url:
        with arrive(store, url):
            pass
        replies = together(30, lambda number: sign_in(url, "Ada", f"wrong password {number}").status_code)
    assert set(replies) == {403, 429}
    assert replies.count(403) <= 10


def test_a_crowd_that_signs_in_leaves_threads_to_everybody_else(store):
    """Whoever finds the room full is told at once, and nothing is counted against them."""
    with running(store) as url, arrive(store, url) as ada, browser(url) as ben:
        with store.write() as tx:
            token = people.invite(tx, "admin")
        with ExitStack() as crowd:
            for _ in range(tokens.IN_ROOM):
                crowd.enter_context(tokens._ROOM)
            for _ in range(11):
                reply = sign_in(url, "Ada", PASSWORD)
                assert (reply.status_code, "many people" in reply.text) == (429, True)
            reply = ben.post(f"/join/{token}", data={"name": "Ben", "password": PASSWORD})
            assert (reply.status_code, "many people" in reply.text) == (429, True)
            assert ada.get("/").status_code == 200
        assert sign_in(url, "Ada", PASSWORD).status_code == 303
        assert ben.post(f"/join/{token}", data={"name": "Ben", "password": PASSWORD}).status_code == 303


def test_passwords_beside_a_link_that_is_no_good_are_not_hashed(store):
    with running(store) as url, browser(url) as eve:
        reply = eve.post("/join/a-token", data={"name": "Eve", "password": "short"})
        assert (reply.status_code, "used already" in reply.text) == (422, True)


def test_what_is_typed_where_a_name_belongs_is_kept_nowhere_but_for_the_pseudonyms_of_names(store):
    """It may be a password."""
    with running(store) as url:
        with arrive(store, url):
            pass
        for name in ("Ada", "a password by mistake"):
            assert sign_in(url, name, "wrong password").status_code == 403
    kept = everything(store)
    assert kept.count("wrong password") == 1
    assert "mistake" not in kept
    assert digest("a password by mistake")[:16] not in kept


def test_somebody_with_an_account_joins_another_project_with_it(store):
    one, other = project(store, pairs(1)), project(store, pairs(1), slug="q")
    with running(store) as url, arrive(store, url, one, "annotator") as ada:
        with store.write() as tx:
            token, idle = people.invite(tx, "annotator", other.id), people.invite(tx, "annotator", other.id)
        csrf = re.search(r'name="csrf" value="(\w+)"', ada.get(f"/join/{token}").text)[1]
        assert ada.post(f"/join/{token}", data={"csrf": csrf}).status_code == 303
        assert ada.get("/p/q").status_code == 200
        reply = ada.post(f"/join/{idle}", data={"csrf": csrf})
        assert (reply.status_code, "in this project already" in reply.text) == (422, True)
        with store.read() as tx:
            assert len(people.members(tx, other.id)) == 1


def test_somebody_who_is_forgotten_leaves_votes_and_no_trace(store, database):
    made = project(store, pairs(2))
    with running(store) as url, arrive(store, url, made, "annotator", name="Ada Lovelace") as ada:
        with store.read() as tx:
            (who,) = people.members(tx, made.id)
            kept = people.check_password(tx, "Ada Lovelace", PASSWORD)
        turn, queue = Turn(made, kept.id), Queue(store)
        queue.submit(turn, queue.next(turn).token, Judgement(choice="tie"), "key-12345")
        assert "Ada Lovelace" in everything(store)
        assert sign_in(url, "Ada Lovelace", "wrong password").status_code == 403
        with store.write() as tx:
            people.create_key(tx, kept.id, {"label"})
            people.forget(tx, who.pseudonym)
        scrub(store)
        assert "Ada Lovelace" not in everything(store)
        assert ada.get("/p/p").status_code == 303
        assert sign_in(url, "Ada Lovelace", PASSWORD).status_code == 403
        assert digest("Ada Lovelace")[:16] not in everything(store), "a name can be tried against a digest"
        with store.read() as tx:
            assert [row["annotator"] for row in votes.all_of(tx, made.id, "label")] == [who.pseudonym]
            assert people.members(tx, made.id) == people.keys_of(tx, kept.id) == []
    if store.engine.dialect.name == "sqlite":
        files = Path(database).parent.glob("labels.db*")
        assert not any(b"Ada Lovelace" in file.read_bytes() for file in files)
    with pytest.raises(ConfigError, match="no annotator 'a-nobody'"), store.write() as tx:
        people.forget(tx, "a-nobody")


def test_two_people_cannot_have_one_name(store):
    made = project(store, pairs(1))
    with running(store) as url, arrive(store, url, made), browser(url) as other:
        with store.write() as tx:
            token = people.invite(tx, "annotator", made.id)
        reply = other.post(f"/join/{token}", data={"name": "Ada ", "password": PASSWORD})
        assert (reply.status_code, "has this name already" in reply.text) == (422, True)


def test_what_every_response_carries(store):
    made = project(store, pairs(1))
    with running(store) as url, arrive(store, url, made) as ada:
        nonces = set()
        for path in (
            "/p/p",
            "/p/p",
            "/p/p/guidelines",
            "/p/p/results",
            "/nowhere",
            "/api/v1/projects",
            "/static/label.css",
        ):
            reply = ada.get(path)
            policy = reply.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; ")
            assert "unsafe" not in policy
            assert "http" not in policy
            nonces.add(re.search(r"'nonce-([^']+)'", policy)[1])
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert "server" not in reply.headers
            if path.startswith("/p/"):
                assert set(re.findall(r'nonce="([^"]*)"', reply.text)) == {
                    re.search(r"nonce-([^']+)'", policy)[1]
                }
                assert not re.search(r"<(script|style)(?![^>]*nonce=)", reply.text)
                assert not re.search(r'\s(on\w+|style)="', reply.text)
                assert reply.headers["cache-control"] == "no-store"
        assert len(nonces) == 7


def test_the_session_cookie_is_out_of_reach(store):
    with store.write() as tx:
        token = people.invite(tx, "admin")
    with running(store) as url, browser(url) as seen:
        reply = seen.post(f"/join/{token}", data={"name": "Ada", "password": PASSWORD})
        assert re.search(
            r"gnomon_session=[\w-]{43}; HttpOnly; Max-Age=1209600; Path=/; SameSite=lax",
            reply.headers["set-cookie"],
        )
        secure = seen.post(
            "/login", data={"name": "Ada", "password": PASSWORD}, headers={"X-Forwarded-Proto": "https"}
        )
        assert "; Secure" in secure.headers["set-cookie"]


def test_errors_are_pages_for_people_and_json_for_programs(store):
    with running(store) as url, arrive(store, url) as ada:
        page = ada.get("/p/nothing")
        assert (page.status_code, "no part in it" in page.text) == (404, True)
        assert page.headers["content-type"].startswith("text/html")
        assert ada.get("/api/v1/projects/nothing/statistics").json() == {
            "detail": "there is no such project, or you have no part in it"
        }
        assert "<html" in ada.get("/no/such/page").text
        part = ada.get("/p/nothing", headers={"HX-Request": "true"})
        assert part.headers["content-type"].startswith("text/plain")


def test_passwords_are_kept_as_argon2_and_tokens_as_digests():
    kept = hash_password(PASSWORD)
    assert kept.startswith("$argon2id$")
    assert password_fits(PASSWORD, kept)
    assert not password_fits(PASSWORD + "x", kept)
    assert not password_fits(PASSWORD, None)
    assert digest("token") == "3c469e9d6c5875d37a43f353d4f88e61fcf812c66eee3457465a40b0da4153e0"
