"""A provider that is down, out of reach, changes its keys or says what makes no sense."""

from ipaddress import ip_address

import pytest
from issuing import (
    CLIENT,
    LOCAL,
    OPEN,
    SECRET,
    application,
    is_refused,
    key,
    refusals,
    sign_in,
    signed_in,
)
from joserfc import jwt
from office import browser
from receivers import receiving
from starlette.responses import Response

from gnomon.labelling.reach import Reach


def test_a_provider_may_change_its_keys(store, made, issuer):
    with application(store, issuer, **OPEN) as url, browser(url) as seen:
        assert sign_in(seen).status_code == sign_in(seen).status_code == 303
        assert issuer.seen.count("/jwks") == 1
        old = issuer.keys[0]
        issuer.keys = [key("second")]
        assert sign_in(seen).status_code == sign_in(seen).status_code == 303
        assert issuer.seen.count("/jwks") == 2
        issuer.sign = lambda issuer, claims: jwt.encode({"alg": "RS256", "kid": "first"}, claims, old)
        assert is_refused(sign_in(seen), "token")


def test_keys_without_a_name_may_change_as_well(store, made, issuer):
    with application(store, issuer, **OPEN) as url, browser(url) as seen:
        for _ in range(2):
            issuer.keys = [key(None)]
            issuer.sign = lambda issuer, claims: jwt.encode({"alg": "RS256"}, claims, issuer.keys[0])
            assert sign_in(seen).status_code == 303


def test_how_a_client_proves_who_it_is(store, made, issuer):
    issuer.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    with application(store, issuer, **OPEN) as url, signed_in(url):
        assert issuer.redeemed[-1]["client_secret"] == SECRET
    issuer.metadata = {}
    with application(store, issuer, "wrong", **OPEN) as url, browser(url) as seen:
        assert is_refused(sign_in(seen), "provider")
    assert "invalid_client" in refusals(store)[-1][1]
    issuer.secret = None
    with application(store, issuer, None, **OPEN) as url, signed_in(url):
        assert issuer.redeemed[-1]["client_id"] == CLIENT
        assert "client_secret" not in issuer.redeemed[-1]


def test_a_provider_that_is_down_is_told_and_not_asked_by_everybody(store, made, issuer, clock):
    with application(store, issuer, **OPEN) as url, browser(url) as seen:
        issuer.metadata = {"issuer": "https://another.example"}
        assert is_refused(seen.get("/oidc/start"), "provider")
        issuer.metadata = {}
        assert is_refused(seen.get("/oidc/start"), "provider")
        assert issuer.seen == ["/.well-known/openid-configuration"]
        clock.pass_minutes(0.1)
        assert sign_in(seen).status_code == 303
        assert seen.get("/login").status_code == 303, "who is signed in stays so"


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": None},
        {"issuer": "https://another.example"},
        {"jwks_uri": None},
        {"token_endpoint": ["http://127.0.0.1/"]},
        {"jwks_uri": "http://127.0.0.1:9/"},
        {"id_token_signing_alg_values_supported": ["HS256", "none"]},
    ],
)
def test_a_provider_that_says_what_makes_no_sense_is_not_gone_on_with(store, made, issuer, metadata):
    with application(store, issuer, **OPEN) as url, browser(url) as seen:
        issuer.metadata = metadata
        assert is_refused(seen.get("/oidc/start"), "provider")


@pytest.mark.parametrize(
    "answer",
    [
        Response("<html>"),
        Response("[" * 100_000),
        Response("[]"),
        Response('"' + "x" * (1 << 20) + '"'),
        Response("{}", 500),
        Response("{}", 302, {"Location": "/jwks"}),
    ],
    ids=["page", "deep", "list", "long", "500", "redirect"],
)
def test_what_is_no_discovery_document_is_told(store, made, issuer, answer):
    issuer.answer = answer
    with application(store, issuer, **OPEN) as url, browser(url) as seen:
        assert is_refused(seen.get("/oidc/start"), "provider")
    assert "/jwks" not in issuer.seen


def test_a_provider_that_is_not_allowed_is_not_called(store, made, issuer):
    with application(store, issuer, reach=Reach(), **OPEN) as url, browser(url) as seen:
        assert is_refused(seen.get("/oidc/start"), "provider")
    assert issuer.seen == []


@pytest.mark.parametrize("end", ["token_endpoint", "jwks_uri", "userinfo_endpoint"])
def test_addresses_that_a_provider_names_are_held_to_the_same_rule(store, made, issuer, end):
    with receiving("127.0.0.2") as inner, application(store, issuer, **OPEN) as url, browser(url) as seen:
        assert not LOCAL.permits(ip_address("127.0.0.2"))
        issuer.metadata, issuer.told = {end: inner.url}, {}
        reply = seen.get("/oidc/start") if end == "jwks_uri" else sign_in(seen)
        assert is_refused(reply, "provider")
        assert inner.seen == []
