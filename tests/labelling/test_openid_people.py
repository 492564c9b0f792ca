"""Who is let in by way of a provider, as what, and what is kept of them."""

import re
from pathlib import Path

import pytest
from issuing import ADA, BABBAGE, application, is_refused, issuing, sign_in, signed_in
from office import PASSWORD, all_of, arrive, browser, key, pairs, project
from sqlalchemy import select
from test_doors import everything

from gnomon.errors import DataError
from gnomon.labelling.client import LabelClient, RefusedError
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.openid_settings import RoleRule
from gnomon.labelling.queue import Queue, Turn
from gnomon.labelling.store import people, subjects, votes
from gnomon.labelling.store.database import scrub
from gnomon.labelling.store.tables import annotators, audit, invitations
from gnomon.labelling.store.tables import subjects as kept

RULES = (
    RoleRule(value="leads", project="p", role="admin"),
    RoleRule(value="staff", project="p", role="annotator"),
    RoleRule(value="staff", project="q", role="viewer"),
)


@pytest.fixture
def other(store):
    return project(store, pairs(2), slug="q")


def invite(store, of, email: str, role: str = "annotator") -> None:
    with store.write() as tx:
        subjects.invite_address(tx, of.id, email, role)


def roles(store, of) -> list[str]:
    with store.read() as tx:
        return [member.role for member in people.members(tx, of.id)]


def rows(store, table) -> list:
    with store.read() as tx:
        return tx.connection.execute(select(table)).all()


def test_who_is_not_invited_stays_outside(store, made, issuer):
    invite(store, made, "babbage@example.org")
    with application(store, issuer) as url, browser(url) as seen:
        assert is_refused(sign_in(seen), "uninvited")
        assert rows(store, annotators) == []


def test_an_address_that_is_invited_comes_in_once_as_what_it_is_invited(store, made, other, issuer):
    invite(store, made, " ADA@example.org ", "viewer")
    invite(store, other, "ada@example.org", "adjudicator")
    assert "ada@example.org" in everything(store)
    with application(store, issuer) as url, signed_in(url) as seen:
        assert seen.get("/p/p/results").status_code == 200
        assert seen.get("/p/q/adjudicate").status_code == 200
        assert (roles(store, made), roles(store, other)) == (["viewer"], ["adjudicator"])
        assert [row.email for row in rows(store, invitations)] == [None, None]
        issuer.who = BABBAGE | {"email": "ada@example.org"}
        with browser(url) as another:
            assert is_refused(sign_in(another), "uninvited"), "an invitation is for one person"
        issuer.who = dict(ADA)
        assert sign_in(seen).status_code == 303, "who came in once may come again"


def test_an_invitation_of_an_address_that_is_too_old_is_worth_nothing(store, made, issuer, clock):
    invite(store, made, "ada@example.org")
    clock.pass_minutes(7 * 24 * 60)
    with application(store, issuer) as url, browser(url) as seen:
        assert is_refused(sign_in(seen), "uninvited")
    invite(store, made, "babbage@example.org")
    assert [row.email for row in rows(store, invitations)] == ["babbage@example.org"]


def test_somebody_who_is_known_joins_what_they_are_invited_to(store, made, other, issuer):
    invite(store, made, "ada@example.org", "viewer")
    with application(store, issuer) as url, signed_in(url) as seen:
        invite(store, other, "ada@example.org")
        invite(store, made, "ada@example.org", "admin")
        assert sign_in(seen).status_code == 303
    assert roles(store, other) == ["annotator"]
    assert roles(store, made) == ["viewer"], "who is in a project already stays what they are"


@pytest.mark.parametrize(
    "email", ["ada", "@example.org", "ada@", "a da@example.org", "a\0@b.c", "x" * 320 + "@a.b"]
)
def test_what_is_no_address_is_not_invited(store, made, email):
    with pytest.raises(DataError, match="no e-mail address"):
        invite(store, made, email)


def test_admins_invite_addresses_over_http(store, made, issuer):
    with application(store, issuer) as url:
        with LabelClient(url, key(store, made, "admin")) as admin:
            assert admin.invite("p", "viewer", "ada@example.org").path == "/login"
            assert admin.invite("p").path.startswith("/join/")
            with pytest.raises(RefusedError, match="no e-mail address"):
                admin.invite("p", "viewer", "nobody")
            assert "ada@" not in str(admin.audit("p"))
        with signed_in(url) as seen:
            assert seen.get("/p/p/results").status_code == 200


def test_admins_invite_addresses_on_the_page_where_there_is_a_provider(store, made, issuer):
    with application(store, issuer, title="Example Org") as url, arrive(store, url, made) as admin:
        page = admin.get("/p/p/results").text
        assert "E-mail address, for Example Org" in page
        fields = {"csrf": re.search(r'name="csrf" value="(\w+)"', page)[1], "role": "viewer"}
        reply = admin.post("/p/p/invite", data=fields | {"email": "ada@example.org"})
        assert (reply.status_code, f"{url}/login" in reply.text) == (200, True)
        assert f"{url}/join/" in admin.post("/p/p/invite", data=fields | {"email": ""}).text
        assert admin.post("/p/p/invite", data=fields | {"email": "nobody"}).status_code == 400
        with signed_in(url) as seen:
            assert seen.get("/p/p/results").status_code == 200
    assert sorted(roles(store, made)) == ["admin", "viewer"]


def test_roles_follow_a_claim(store, made, other, issuer):
    with application(store, issuer, roles=RULES) as url, browser(url) as seen:
        assert is_refused(sign_in(seen), "uninvited")
        issuer.who["groups"] = ["others"]
        assert is_refused(sign_in(seen), "uninvited")
        issuer.who["groups"] = ["staff", "leads"]
        assert sign_in(seen).status_code == 303
        assert (roles(store, made), roles(store, other)) == (["admin"], ["viewer"]), (
            "the first that fits counts"
        )
        issuer.who["groups"] = "staff"
        assert sign_in(seen).status_code == 303
        assert (roles(store, made), roles(store, other)) == (["annotator"], ["viewer"])
        issuer.who["groups"] = []
        invite(store, made, "ada@example.org", "admin")
        assert sign_in(seen).status_code == 303
        assert roles(store, made) == roles(store, other) == [], "here the claim alone decides"
        assert seen.get("/p/p").status_code == 404
    actions = [line["action"] for line in all_of(store, audit)]
    assert [action for action in actions if action.startswith(("member", "role"))] == [
        *("member joined", "member joined", "role changed", "member removed", "member removed")
    ]


def test_a_claim_may_be_a_part_of_another_and_be_told_when_asked(store, made, other, issuer):
    issuer.who["realm_access"] = {"roles": ["leads"]}
    with application(store, issuer, roles=RULES, claim="realm_access.roles") as url:
        with signed_in(url):
            assert roles(store, made) == ["admin"]
        issuer.told = ADA | {"realm_access": {"roles": ["staff"]}}
        with signed_in(url):
            assert roles(store, made) == ["annotator"]
        for odd in (None, 3, {"leads": True}, [["leads"]], "nothing"):
            issuer.told["realm_access"] = {"roles": odd}
            with signed_in(url):
                assert roles(store, made) == []


def test_everybody_may_join_what_is_open_to_them(store, made, other, issuer):
    settings = {"domains": ("example.org",), "projects": ("p",), "roles": RULES[2:]}
    with application(store, issuer, **settings) as url, signed_in(url) as seen:
        assert (roles(store, made), roles(store, other)) == (["annotator"], [])
        with store.write() as tx:
            (who,) = people.members(tx, made.id)
            people.set_role(tx, made.id, who.pseudonym, "admin")
        assert sign_in(seen).status_code == 303
        assert roles(store, made) == ["admin"], "who was given more keeps it"


@pytest.mark.parametrize("domains", [(), ("*",), ("example.org", "elsewhere.org"), ("ELSEWHERE.org",)])
def test_whose_addresses_may_come_in(store, made, issuer, domains):
    issuer.who["email"] = "ada@elsewhere.org"
    invite(store, made, "ada@elsewhere.org")
    with application(store, issuer, domains=domains) as url, signed_in(url) as seen:
        assert seen.get("/p/p").status_code == 200


def test_a_one_time_link_can_be_used_by_way_of_the_provider(store, made, issuer):
    with store.write() as tx:
        token, site = people.invite(tx, "annotator", made.id), people.invite(tx, "admin")
    with application(store, issuer) as url, browser(url) as seen:
        assert f'href="/oidc/start?next=/join/{token}"' in seen.get(f"/join/{token}").text
        reply = sign_in(seen, f"/join/{token}")
        assert (reply.status_code, reply.headers["location"]) == (303, "/")
        assert seen.get("/p/p").status_code == 200
        assert token not in everything(store)
        issuer.who = dict(BABBAGE)
        with browser(url) as another:
            assert is_refused(sign_in(another, f"/join/{token}"), "uninvited")
            assert sign_in(another, f"/join/{site}").status_code == 303
            assert another.get("/p/p/results").status_code == 200
        with store.read() as tx:
            assert people.has_site_admin(tx)


def test_who_is_known_is_led_to_the_link_they_came_by(store, made, other, issuer):
    invite(store, made, "ada@example.org")
    with store.write() as tx:
        token = people.invite(tx, "annotator", other.id)
    with application(store, issuer) as url, signed_in(url) as seen:
        assert sign_in(seen, f"/join/{token}").headers["location"] == f"/join/{token}"
        assert "Join with this account" in seen.get(f"/join/{token}").text


def test_every_sign_in_is_in_the_audit_log_for_those_who_run_the_site(store, made, issuer):
    invite(store, made, "ada@example.org")
    admin = key(store, site_admin=True)
    with application(store, issuer) as url, LabelClient(url, admin) as runs:
        with signed_in(url) as seen, arrive(store, url, made, "annotator", "Grace"):
            assert sign_in(seen).status_code == 303
            seen.post("/login", data={"name": "Grace", "password": PASSWORD})
        issuer.who = dict(BABBAGE)
        with browser(url) as another:
            assert is_refused(sign_in(another), "uninvited")
        lines = [line for line in runs.audit() if line["action"].startswith("sign")][::-1]
        with LabelClient(url, key(store, made, "admin")) as local, pytest.raises(RefusedError):
            local.audit()
    told = [(line["action"], line["detail"]["by"]) for line in lines]
    signed = [("signed in", "openid")] * 2 + [("signed in", "password")]
    assert told == [*signed, ("sign-in refused", "openid")]
    assert len({line["actor"] for line in lines[:2]}) == 1
    assert lines[0]["actor"].startswith("a-")
    assert (lines[3]["actor"], lines[3]["detail"]["reason"]) == (None, "uninvited")
    assert not any(name in str(lines) for name in ("ada@", "babbage", "Grace", "subject-of"))


def test_who_is_forgotten_leaves_votes_and_no_trace(store, database, made, other, issuer):
    invite(store, made, "ada@example.org")
    with application(store, issuer) as url, signed_in(url) as seen:
        with store.read() as tx:
            (who,) = people.members(tx, made.id)
        annotator = rows(store, kept)[0].annotator_id
        turn, queue = Turn(made, annotator), Queue(store)
        queue.submit(turn, queue.next(turn).token, Judgement(choice="tie"), "key-12345")
        invite(store, other, "ada@example.org")
        invite(store, other, "babbage@example.org")
        with store.write() as tx:
            people.forget(tx, who.pseudonym)
        scrub(store)
        assert seen.get("/p/p").status_code == 303
        for trace in ("subject-of-ada", "ada@example.org"):
            assert trace not in everything(store).lower()
        assert "babbage@example.org" in everything(store), "others' invitations stay"
        assert is_refused(sign_in(seen), "uninvited")
        with store.read() as tx:
            assert [row["annotator"] for row in votes.all_of(tx, made.id, "label")] == [who.pseudonym]
    if store.engine.dialect.name == "sqlite":
        files = list(Path(database).parent.glob("labels.db*"))
        assert not any(b"subject-of-ada" in file.read_bytes() for file in files)
        assert not any(b"ada@example.org" in file.read_bytes() for file in files)


def test_a_subject_of_another_issuer_is_somebody_else(store, made, issuer, clock):
    invite(store, made, "ada@example.org")
    with application(store, issuer) as url, signed_in(url):
        pass
    with issuing(clock) as second, application(store, second) as url, browser(url) as seen:
        assert is_refused(sign_in(seen), "uninvited")
