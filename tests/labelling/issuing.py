"""A provider of OpenID Connect on this machine, small and strict, which signs real tokens with its keys."""

import base64
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from joserfc import jwt
from joserfc.jwk import RSAKey
from office import all_of, browser

from gnomon.labelling.openid import Provider
from gnomon.labelling.openid_settings import OpenIdSettings
from gnomon.labelling.reach import Reach
from gnomon.labelling.server import listen, serving
from gnomon.labelling.sign_in import WHY
from gnomon.labelling.store.database import Store
from gnomon.labelling.store.tables import audit

CLIENT, SECRET = "gnomon-of-tests", "s3cret-of-the-client"
LOCAL = Reach.of(["127.0.0.1"])
ADA = {"sub": "subject-of-ada", "email": "Ada@Example.org", "email_verified": True}
BABBAGE = {"sub": "subject-of-babbage", "email": "babbage@example.org", "email_verified": True}
Claims = dict[str, Any]
OPEN = {"domains": ("example.org",), "projects": ("p",)}
"""Settings by which everybody at one organisation is an annotator."""


def key(name: str | None) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": name} if name else None)


def unpadded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def by_hand(header: Claims, claims: Claims, secret: bytes | None) -> str:
    """A token that no library would make: unsigned, or signed with a secret that is none."""
    signed = ".".join(unpadded(json.dumps(part).encode()) for part in (header, claims))
    made = hmac.new(secret, signed.encode(), sha256).digest() if secret else b""
    return f"{signed}.{unpadded(made)}"


@dataclass
class Issuer:
    """The provider: who is signed in there, and what is wrong with what it says, if anything."""

    url: str
    clock: Callable[[], int]
    who: Claims = field(default_factory=lambda: dict(ADA))
    keys: list[RSAKey] = field(default_factory=lambda: [key("first")])
    published: list[Claims] = field(default_factory=list)
    """Keys beside its own that it shows."""
    secret: str | None = SECRET
    changes: Claims = field(default_factory=dict)
    """What ID tokens say in the place of what is right; None leaves a claim out."""
    told: Claims | None = None
    """What is told of the person when asked with the access token, in the place of the ID token."""
    metadata: Claims = field(default_factory=dict)
    """What the discovery document says in the place of what is right; None leaves it out."""
    answer: Response | None = None
    """What is sent in the place of the discovery document."""
    sign: Callable[["Issuer", Claims], str] | None = None
    refuses: str = ""
    seen: list[str] = field(default_factory=list)
    asked: list[Claims] = field(default_factory=list)
    codes: dict[str, Claims] = field(default_factory=dict)
    redeemed: list[Claims] = field(default_factory=list)

    def discovery(self) -> Claims:
        found = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize?tenant=one",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "end_session_endpoint": f"{self.url}/logout",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            "response_types_supported": ["code"],
        } | self.metadata
        return {name: value for name, value in found.items() if value is not None}

    def claims(self, nonce: str, access: str) -> Claims:
        now = self.clock() // 1000
        half = sha256(access.encode()).digest()[:16]
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce}
        claims |= {"at_hash": unpadded(half)} | (self.who if self.told is None else {"sub": self.who["sub"]})
        return {name: value for name, value in (claims | self.changes).items() if value is not None}

    def signed(self, claims: Claims) -> str:
        if self.sign:
            return self.sign(self, claims)
        newest = self.keys[-1]
        header = {"alg": "RS256"} | ({"kid": newest.kid} if newest.kid else {})
        return jwt.encode(header, claims, newest)

    def jwks(self) -> Claims:
        return {"keys": [one.as_dict(private=False) for one in self.keys] + self.published}

    def token(self, given: Claims, basic: str) -> Response:
        self.redeemed.append(given)
        if self.secret and basic != f"{CLIENT}:{self.secret}" and given.get("client_secret") != self.secret:
            return JSONResponse({"error": "invalid_client"}, 401)
        asked = self.codes.pop(given["code"], None)
        challenge = unpadded(sha256(given["code_verifier"].encode()).digest())
        right = asked is not None and given["grant_type"] == "authorization_code"
        right = right and challenge == asked["code_challenge"] and asked["code_challenge_method"] == "S256"
        if not right or given["redirect_uri"] != asked["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        access = secrets.token_urlsafe(16)
        token = {"access_token": access, "token_type": "Bearer", "expires_in": 300}
        return JSONResponse(token | {"id_token": self.signed(self.claims(asked["nonce"], access))})

    def authorize(self, asked: Claims) -> str:
        self.asked.append(asked)
        back = {"state": asked["state"]}
        if self.refuses:
            back |= {"error": self.refuses}
        else:
            code = secrets.token_urlsafe(16)
            self.codes[code] = asked
            back |= {"code": code}
        return f"{asked['redirect_uri']}?{urlencode(back)}"


def app_of(issuer: Issuer) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def note(request: Request, call: Any) -> Response:
        issuer.seen.append(request.url.path)
        return await call(request)

    @app.get("/.well-known/openid-configuration")
    def discovery() -> Response:
        return issuer.answer or JSONResponse(issuer.discovery())

    @app.get("/jwks")
    def jwks() -> Response:
        return JSONResponse(issuer.jwks())

    @app.get("/authorize")
    def authorize(request: Request) -> Response:
        return RedirectResponse(issuer.authorize(dict(request.query_params)), 302)

    @app.post("/token")
    async def token(request: Request) -> Response:
        kind, _, sent = request.headers.get("authorization", "").partition(" ")
        basic = base64.b64decode(sent).decode() if kind == "Basic" else ""
        return issuer.token(dict(await request.form()), basic)

    @app.get("/userinfo")
    def userinfo() -> Response:
        return JSONResponse(issuer.who if issuer.told is None else issuer.told)

    return app


@contextmanager
def issuing(clock: Callable[[], int], host: str = "127.0.0.1", **more: Any) -> Iterator[Issuer]:
    """A provider that is served by a thread, on this machine by whichever of its names."""
    door = listen("127.0.0.1", 0)
    issuer = Issuer(f"http://{host}:{door.getsockname()[1]}", clock, **more)
    served = uvicorn.Server(uvicorn.Config(app_of(issuer), log_level="warning"))
    thread = threading.Thread(target=served.run, kwargs={"sockets": [door]})
    thread.start()
    try:
        while thread.is_alive() and not served.started:
            time.sleep(0.005)
        yield issuer
    finally:
        served.should_exit = True
        thread.join()


@contextmanager
def application(
    store: Store, issuer: Issuer, secret: str | None = SECRET, reach: Reach = LOCAL, **settings: Any
) -> Iterator[str]:
    """The address of the application, into which the provider leads."""
    door = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{door.getsockname()[1]}"
    told = OpenIdSettings(issuer=issuer.url, client_id=CLIENT, url=url, **settings)
    with serving(store, door, openid=Provider(told, secret, reach, store.clock)) as served:
        assert served == url
        yield url


def begun(seen: httpx.Client, next: str = "/") -> str:
    """Begin to sign in, agree at the provider, and return where that sends the browser back to."""
    reply = seen.get("/oidc/start", params={"next": next})
    assert reply.status_code == 303, reply.text
    return httpx.get(reply.headers["location"]).headers["location"]


def sign_in(seen: httpx.Client, next: str = "/") -> httpx.Response:
    """Sign in as whoever is signed in at the provider."""
    return seen.get(begun(seen, next), headers={"Sec-Fetch-Site": "cross-site"})


@contextmanager
def signed_in(url: str, next: str = "/") -> Iterator[httpx.Client]:
    """A browser that has signed in."""
    with browser(url) as seen:
        reply = sign_in(seen, next)
        assert reply.status_code == 303, reply.text
        yield seen


def refusals(store) -> list[tuple[str, str]]:
    lines = [line for line in all_of(store, audit) if line["action"] == "sign-in refused"]
    return [(line["detail"]["reason"], line["detail"]["detail"]) for line in lines]


def is_refused(reply: httpx.Response, reason: str) -> bool:
    told = WHY[reason]
    assert (reply.status_code, told.title in reply.text) == (told.status, True), reply.text
    assert "gnomon_session" not in reply.headers.get("set-cookie", "")
    return True
