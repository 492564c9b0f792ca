"""Signing in by way of a provider that runs here and signs real tokens: all of it over HTTP."""

import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from issuing import (
    BABBAGE,
    CLIENT,
    OPEN,
    SECRET,
    application,
    begun,
    by_hand,
    is_refused,
    key,
    refusals,
    sign_in,
    signed_in,
    unpadded,
)
from joserfc import jwt
from office import arrive, browser, running, together
from sqlalchemy import select
from test_doors import everything

from gnomon.labelling.sign_in import Attempt
from gnomon.labelling.store.tables import annotators, sessions, sign_ins, subjects


def rows(store, table) -> list:
    with store.read() as tx:
        return tx.connection.execute(select(table)).all()


def test_somebody_signs_in_and_judges(store, made, issuer):
    with application(store, issuer, **OPEN) as url, browser(url) as seen:
        page = seen.get("/login?next=/p/p/guidelines").text
        assert 'href="/oidc/start?next=/p/p/guidelines"' in page
        began = seen.get("/oidc/start?next=/p/p/guidelines")
        assert re.search(
            r"gnomon_sign_in=[^;]{40,}; HttpOnly; Max-Age=600; Path=/oidc; SameSite=lax",
            began.headers["set-cookie"],
        )
        where = urlsplit(began.headers["location"])
        sent = {name: value[0] for name, value in parse_qs(where.query).items()}
        assert f"{where.scheme}://{where.netloc}{where.path}" == f"{issuer.url}/authorize"
        assert (
            sent.items()
            >= {
                "tenant": "one",
                "client_id": CLIENT,
                "redirect_uri": f"{url}/oidc/callback",
                "response_type": "code",
                "scope": "openid email",
                "code_challenge_method": "S256",
            }.items()
        )
        assert len(sent["state"]) == 43
        back = httpx.get(began.headers["location"]).headers["location"]
        reply = seen.get(back, headers={"Sec-Fetch-Site": "cross-site"})
        assert (reply.status_code, reply.headers["location"]) == (303, "/p/p/guidelines")
        cookies = reply.headers.get_list("set-cookie")
        assert re.fullmatch(
            r"gnomon_session=[\w-]{43}; HttpOnly; Max-Age=1209600; Path=/; SameSite=lax", cookies[0]
        )
        assert re.match(r'gnomon_sign_in=""; .*Max-Age=0; Path=/oidc;', cookies[1])
        assert seen.get("/p/p").status_code == 200
        (spent,) = issuer.redeemed
        kept = everything(store)
        for secret in (sent["state"], sent["nonce"], spent["code"], spent["code_verifier"], SECRET):
            assert secret not in kept
        assert spent["code_verifier"] not in began.headers["location"]
    (kept,) = rows(store, subjects)
    assert (kept.issuer, kept.subject, kept.email) == (issuer.url, "subject-of-ada", "ada@example.org")
    assert rows(store, sign_ins) == []


def test_who_signs_in_again_is_the_same_person_in_a_new_session(store, made, issuer):
    with application(store, issuer, **OPEN) as url, signed_in(url) as seen:
        first = seen.cookies["gnomon_session"]
        assert sign_in(seen).status_code == 303
        assert seen.cookies["gnomon_session"] != first
        issuer.who["email"] = "countess@example.org"
        assert sign_in(seen).status_code == 303
        seen.cookies.set("gnomon_session", first)
        assert seen.get("/p/p").status_code == 303, "the session before is over"
    assert len(rows(store, annotators)) == len(rows(store, sessions)) == 1
    assert [row.email for row in rows(store, subjects)] == ["countess@example.org"]


def test_others_are_others(store, made, issuer):
    with application(store, issuer, **OPEN) as url, signed_in(url):
        issuer.who = BABBAGE | {"email": "ada@example.org"}
        with signed_in(url):
            assert len(rows(store, annotators)) == 2, "an address makes nobody somebody else"


def test_somebody_new_in_two_browsers_at_a_moment_is_one_person(store, made, issuer):
    with application(store, issuer, **OPEN) as url:
        seen = [browser(url) for _ in range(4)]
        backs = [begun(one) for one in seen]
        replies = together(4, lambda number: seen[number].get(backs[number]))
        assert [reply.status_code for reply in replies] == [303] * 4
        for one in seen:
            one.close()
    assert len(rows(store, annotators)) == len(rows(store, subjects)) == 1


def test_a_sign_in_is_finished_once_and_by_the_browser_that_began_it(store, made, issuer):
    with application(store, issuer, **OPEN) as url, browser(url) as seen, browser(url) as other:
        back = begun(seen)
        cookie = seen.cookies["gnomon_sign_in"]
        assert is_refused(other.get(back), "over")
        begun(other)
        assert is_refused(other.get(back), "over")
        assert issuer.redeemed == [], "what is no answer to this browser is not asked about"
        assert seen.get(back).status_code == 303
        assert is_refused(seen.get(back), "over")
        seen.cookies.set("gnomon_sign_in", cookie, path="/oidc")
        assert is_refused(seen.get(back), "over")
        assert len(issuer.redeemed) == 1
        for path in ("/oidc/callback", "/oidc/callback?state=x&code=y", f"/oidc/callback?state={'x' * 300}"):
            assert is_refused(seen.get(path), "over")


def test_a_sign_in_may_take_ten_minutes(store, made, issuer, clock):
    with application(store, issuer, **OPEN) as url, browser(url) as slow, browser(url) as late:
        backs = begun(slow), begun(late)
        clock.pass_minutes(9.9)
        assert slow.get(backs[0]).status_code == 303
        clock.pass_minutes(0.1)
        assert is_refused(late.get(backs[1]), "over")
    assert len(issuer.redeemed) == 1


def test_a_code_that_was_used_elsewhere_is_worth_nothing(store, made, issuer):
    with application(store, issuer, **OPEN) as url, browser(url) as seen:
        back = begun(seen)
        issuer.codes.clear()
        assert is_refused(seen.get(back), "over")
        first, second = begun(seen), parse_qs(urlsplit(begun(seen)).query)
        swapped = re.sub("state=[^&]*", f"state={second['state'][0]}", first)
        assert is_refused(seen.get(swapped), "over"), "the code of another attempt has another verifier"


def test_other_sites_cannot_begin_it(store, made, issuer):
    with application(store, issuer, **OPEN) as url, browser(url) as seen:
        for site in ("cross-site", "same-site"):
            reply = seen.get("/oidc/start?next=/p/p", headers={"Sec-Fetch-Site": site})
            assert (reply.status_code, reply.headers["location"]) == (303, "/login?next=/p/p")
    assert (rows(store, sign_ins), issuer.seen) == ([], [])


@pytest.mark.parametrize("next", ["https://evil.example/", "//evil.example", "/\\evil.example", ""])
def test_it_leads_nowhere_else(store, made, issuer, next):
    with application(store, issuer, **OPEN) as url, browser(url) as seen:
        assert sign_in(seen, next).headers["location"] == "/"


def unsigned(issuer, claims):
    return by_hand({"alg": "none"}, claims, None)


def by_secret(issuer, claims):
    return by_hand({"alg": "HS256"}, claims, SECRET.encode())


def by_public_key(issuer, claims):
    public = issuer.keys[0].as_pem(private=False)
    return by_hand({"alg": "HS256", "kid": "first"}, claims, public)


def by_another(issuer, claims):
    return jwt.encode({"alg": "RS256", "kid": "first"}, claims, key("first"))


def by_its_own_key(issuer, claims):
    own = key("own")
    header = {"alg": "RS256", "kid": "own", "jwk": own.as_dict(private=False)}
    return jwt.encode(header, claims, own, algorithms=["RS256"])


def altered(issuer, claims):
    head, _, mark = jwt.encode({"alg": "RS256", "kid": "first"}, claims, issuer.keys[0]).split(".")
    return ".".join((head, by_hand({}, claims | {"sub": "somebody-else"}, None).split(".")[1], mark))


@pytest.mark.parametrize("sign", [unsigned, by_secret, by_public_key, by_another, by_its_own_key, altered])
def test_what_is_not_signed_with_the_keys_of_the_provider_is_not_believed(store, made, issuer, sign):
    with application(store, issuer, **OPEN) as url, browser(url) as seen:
        issuer.sign = sign
        assert is_refused(sign_in(seen), "token")
        issuer.sign = lambda issuer, claims: ""
        assert is_refused(sign_in(seen), "token")
        assert rows(store, subjects) == rows(store, sessions) == []
        issuer.sign = None
        assert sign_in(seen).status_code == 303


def test_a_secret_that_the_provider_shows_signs_nothing(store, made, issuer):
    secret = b"x" * 32
    issuer.published = [{"kty": "oct", "kid": "shared", "k": unpadded(secret)}]
    issuer.sign = lambda issuer, claims: by_hand({"alg": "HS256", "kid": "shared"}, claims, secret)
    with application(store, issuer, **OPEN) as url, browser(url) as seen:
        assert is_refused(sign_in(seen), "token")


NOW = 1_700_000_000


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"nonce": "another"}, "over"),
        ({"nonce": None}, "over"),
        ({"exp": NOW - 300}, "clock"),
        ({"exp": None}, "clock"),
        ({"iat": NOW + 300, "exp": NOW + 900}, "clock"),
        ({"nbf": NOW + 300}, "clock"),
        ({"aud": "another"}, "audience"),
        ({"aud": ["another", "third"]}, "audience"),
        ({"aud": [CLIENT, "another"]}, "audience"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "audience"),
        ({"aud": "another", "azp": CLIENT}, "audience"),
        ({"aud": None}, "audience"),
        ({"azp": "another"}, "audience"),
        ({"iss": "https://another.example"}, "token"),
        ({"iss": None}, "token"),
        ({"sub": None}, "token"),
        ({"sub": ""}, "token"),
        ({"sub": "x" * 256}, "token"),
        ({"sub": "nul\0"}, "token"),
        ({"at_hash": "of-another-token"}, "token"),
        ({"email_verified": False}, "unverified"),
        ({"email_verified": "false"}, "unverified"),
        ({"email_verified": 1}, "unverified"),
        ({"email": ["ada@example.org"]}, "unverified"),
        ({"email": "ada"}, "unverified"),
        ({"email": "ada@elsewhere.org"}, "domain"),
        ({"email": "ada@evil-example.org"}, "domain"),
        ({"email": "ada@example.org.evil.org"}, "domain"),
        ({"email": "ada@example.org@evil.org"}, "domain"),
        ({"email": "ada@mail.example.org"}, "domain"),
    ],
)
def test_what_does_not_hold_is_told_on_a_page_and_in_the_log_and_lets_nobody_in(
    store, made, issuer, changes, reason
):
    with application(store, issuer, **OPEN) as url, browser(url) as seen:
        issuer.changes = changes
        reply = sign_in(seen)
        assert is_refused(reply, reason)
        assert seen.get("/p/p").status_code == 303
    ((told, detail),) = refusals(store)
    assert told == reason
    for about in ("subject-of-ada", "ada@"):
        assert about not in (reply.text + detail + everything(store)).lower()
    assert rows(store, subjects) == rows(store, sessions) == rows(store, annotators) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - 60},
        {"iat": NOW + 60, "nbf": NOW + 60},
        {"aud": [CLIENT]},
        {"aud": [CLIENT, "another"], "azp": CLIENT},
        {"email_verified": "true"},
        {"at_hash": None},
    ],
)
def test_what_holds_by_the_specification_does(store, made, issuer, changes):
    with application(store, issuer, **OPEN) as url, browser(url) as seen:
        issuer.changes = changes
        assert sign_in(seen).status_code == 303


def test_who_does_not_agree_is_not_signed_in(store, made, issuer):
    with application(store, issuer, **OPEN) as url, browser(url) as seen:
        issuer.refuses = "access_denied"
        assert is_refused(sign_in(seen), "denied")
        issuer.refuses = "server_error"
        assert is_refused(sign_in(seen), "provider")
        issuer.refuses = ""
        assert is_refused(seen.get(f"{begun(seen)}&iss=https%3A%2F%2Fanother.example"), "token")
        assert seen.get(f"{begun(seen)}&iss={issuer.url}").status_code == 303
    assert [reason for reason, _ in refusals(store)] == ["denied", "provider", "token"]


def test_what_is_not_in_the_token_is_asked_for(store, made, issuer):
    with application(store, issuer, **OPEN) as url, browser(url) as seen:
        issuer.told = dict(issuer.who)
        assert sign_in(seen).status_code == 303
        issuer.told["sub"] = "somebody-else"
        assert is_refused(sign_in(seen), "token")
        issuer.told = issuer.who | {"email_verified": False}
        assert is_refused(sign_in(seen), "unverified")


def test_who_signs_out_is_told_that_the_provider_still_knows_them(store, made, issuer):
    with application(store, issuer, **OPEN) as url, signed_in(url) as seen:
        csrf = re.search(r'name="csrf" value="(\w+)"', seen.get("/p/p").text)[1]
        cookie = seen.cookies["gnomon_session"]
        reply = seen.post("/logout", data={"csrf": csrf})
        assert (reply.status_code, reply.headers["location"]) == (303, "/oidc/left")
        page = seen.get("/oidc/left").text
        out = f"{issuer.url}/logout?client_id={CLIENT}&amp;post_logout_redirect_uri="
        assert out in page
        seen.cookies.set("gnomon_session", cookie)
        assert seen.get("/p/p").status_code == 303


def test_without_a_provider_there_is_no_such_way(store, made):
    with running(store) as url, browser(url) as seen:
        for path in ("/oidc/start", "/oidc/callback", "/oidc/left"):
            assert seen.get(path).status_code == 404
        assert "/oidc/" not in seen.get("/login").text


def test_names_and_passwords_go_on_working_beside_it(store, made, issuer):
    with application(store, issuer, **OPEN) as url, arrive(store, url, made, "annotator") as seen:
        assert seen.get("/p/p").status_code == 200
        assert "Join with" not in seen.get("/login").text


def test_what_an_attempt_proves_itself_by_follows_from_its_secret():
    """By `printf %s nonce:… | sha256sum`."""
    attempt = Attempt("a-secret")
    assert attempt.nonce == "c546588920cf0a09f1531ca66d8916c74b9e5b3b983e8711d90d4fa75eb75496"
    assert attempt.verifier == "3ab3271ba2bfeeb8fba5003436ae48521c810c282baadabd45d958a4bd08f61d"
    assert "a-secret" not in repr(attempt)
