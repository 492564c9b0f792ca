"""What a provider of OpenID Connect says of somebody, and whether to believe it.

The authorization code flow with PKCE: a browser is sent to the provider and comes back with a code, which is
redeemed for an ID token; that is believed where its signature, issuer, audience, times and nonce are right.
Every address that the provider names is called within reach alone.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ssl import SSLContext
from threading import Lock
from typing import Any, NamedTuple, Self

import httpx
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.client import OAuth2Client
from authlib.oauth2.rfc6749.parameters import prepare_token_request
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from joserfc import jwt
from joserfc.errors import BadSignatureError, ClaimError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from gnomon.labelling.openid_settings import OpenIdSettings
from gnomon.labelling.reach import Call, Reach, RefusedTargetError, ask
from gnomon.labelling.sign_in import Attempt, Person, Reason, SignInError, compared

SIGNED = frozenset(f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)) | {"EdDSA"}
"""Signatures that are believed: those of a key pair. `none` and secrets that two share are not among them."""
LEEWAY = 120
"""Seconds by which the provider's clock and ours may differ."""
TIMEOUT = 10.0
KEPT_MS, DOWN_MS = 3600 * 1000, 5000
"""How long a discovery document is taken for true, and how long one that did not come is not asked for."""
LONGEST_SUBJECT, LONGEST_EMAIL = 255, 320
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BY_CLAIM: dict[str, Reason] = {
    "aud": "audience",
    "azp": "audience",
    "exp": "clock",
    "iat": "clock",
    "nbf": "clock",
    "nonce": "over",
}


class Metadata(BaseModel):
    """What a discovery document says, as far as it is needed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    id_token_signing_alg_values_supported: tuple[str, ...] = ("RS256",)
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)

    @model_validator(mode="after")
    def _secure(self) -> Self:
        ends = (self.authorization_endpoint, self.token_endpoint, self.jwks_uri, self.userinfo_endpoint)
        if self.issuer.startswith("https://"):
            for end in (*ends, self.end_session_endpoint):
                if end is not None and not end.startswith("https://"):
                    raise ValueError(f"{end} is not https")
        if not SIGNED.intersection(self.id_token_signing_alg_values_supported):
            raise ValueError(f"it signs by none of {', '.join(sorted(SIGNED))}")
        return self


class Known(NamedTuple):
    """What was found out about the provider, which is taken for true until a moment."""

    metadata: Metadata
    keys: KeySet
    until: int


@dataclass
class Provider:
    """A provider, as one client of it sees it; `clock` gives milliseconds since 1970."""

    settings: OpenIdSettings
    secret: str | None = field(repr=False)
    reach: Reach
    clock: Callable[[], int]
    _context: SSLContext = field(default_factory=httpx.create_ssl_context, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)
    _known: Known | None = field(default=None, repr=False)
    _down: tuple[int, str] | None = field(default=None, repr=False)

    def way_in(self, state: str, attempt: Attempt) -> str:
        """Where to send a browser that begins an attempt; SignInError where the provider cannot be asked."""
        client = OAuth2Client(
            None,
            self.settings.client_id,
            redirect_uri=self.settings.callback,
            scope=self.settings.scopes,
            code_challenge_method="S256",
        )
        url, _ = client.create_authorization_url(
            self._found().metadata.authorization_endpoint, state, attempt.verifier, nonce=attempt.nonce
        )
        return str(url)

    def way_out(self) -> str | None:
        """Where a browser ends its session with the provider, if that is known."""
        end = self._known.metadata.end_session_endpoint if self._known else None
        if end is None:
            return None
        back = f"{self.settings.url.rstrip('/')}/login"
        told = {"client_id": self.settings.client_id, "post_logout_redirect_uri": back}
        return str(add_params_to_uri(end, list(told.items())))

    def person(self, code: str, attempt: Attempt) -> Person:
        """Who came back with a code; SignInError where the provider does not say so, or is not believed."""
        known = self._found()
        token = self._redeemed(known.metadata, code, attempt)
        claims = self._believed(known, token, attempt)
        return self._person(self._completed(known.metadata, claims, token))

    def _found(self) -> Known:
        """The provider's addresses and keys, asked for where they are not known, or have not been lately."""
        with self._lock:
            now = self.clock()
            if self._known and now < self._known.until:
                return self._known
            if self._down and now < self._down[0]:
                raise SignInError("provider", self._down[1])
            try:
                self._known = self._discovered(now)
            except SignInError as problem:
                self._down = now + DOWN_MS, problem.detail
                logging.getLogger(__name__).warning("%s: %s", self.settings.issuer, problem.detail)
                raise
            return self._known

    def _discovered(self, now: int) -> Known:
        address = get_well_known_url(self.settings.issuer, external=True)
        content = self._asked("GET", address)
        try:
            metadata = Metadata.model_validate(content)
        except ValidationError as problem:
            error = problem.errors()[0]
            raise SignInError("provider", f"{address}: {error['loc']} {error['msg']}") from problem
        if metadata.issuer != self.settings.issuer:
            raise SignInError("provider", f"{address} is of the issuer {metadata.issuer!r}")
        return Known(metadata, self._keys(metadata), now + KEPT_MS)

    def _keys(self, metadata: Metadata) -> KeySet:
        content: Any = self._asked("GET", metadata.jwks_uri)
        try:
            return KeySet.import_key_set(content)
        except (JoseError, ValueError, TypeError, KeyError) as problem:
            raise SignInError("provider", f"{metadata.jwks_uri}: {problem}") from problem

    def _redeemed(self, metadata: Metadata, code: str, attempt: Attempt) -> dict[str, Any]:
        """What the provider gives for a code: an ID token, and one to ask it with."""
        body = prepare_token_request(
            "authorization_code",
            redirect_uri=self.settings.callback,
            code=code,
            code_verifier=attempt.verifier,
        )
        way = "none"
        if self.secret is not None:
            basic = "client_secret_basic" in metadata.token_endpoint_auth_methods_supported
            way = "client_secret_basic" if basic else "client_secret_post"
        client = ClientAuth(self.settings.client_id, self.secret, way)
        url, headers, body = client.prepare("POST", metadata.token_endpoint, dict(FORM), body)
        token = self._asked("POST", url, headers, body.encode())
        if "error" in token:
            over = token["error"] == "invalid_grant"
            raise SignInError("over" if over else "provider", f"{url}: {token['error']!r}")
        return token

    def _believed(self, known: Known, token: Mapping[str, Any], attempt: Attempt) -> dict[str, Any]:
        """The claims of an ID token whose signature, issuer, audience, times and nonce are right."""
        wanted = {"iss": self.settings.issuer, "aud": self.settings.client_id}
        options: dict[str, Any] = {
            name: {"essential": True, "value": right} for name, right in wanted.items()
        }
        about = {"nonce": attempt.nonce, "client_id": self.settings.client_id}
        about["access_token"] = str(token.get("access_token") or "")
        try:
            decoded = self._decoded(known, str(token.get("id_token")))
            claims = CodeIDToken(decoded.claims, decoded.header, options, about)
            claims.validate(self.clock() // 1000, LEEWAY)
        except ClaimError as problem:
            raise SignInError(BY_CLAIM.get(problem.claim, "token"), f"ID token: {problem}") from problem
        except (JoseError, ValueError, TypeError) as problem:
            raise SignInError("token", f"ID token: {type(problem).__name__} {problem}") from problem
        return dict(claims)

    def _decoded(self, known: Known, token: str) -> jwt.Token:
        """A token whose signature is by one of the provider's keys, which it may have changed meanwhile."""
        offered = known.metadata.id_token_signing_alg_values_supported
        registry = JWSRegistry(algorithms=sorted(SIGNED.intersection(offered)), strict_check_header=False)
        try:
            return jwt.decode(token, known.keys, registry=registry)
        except (InvalidKeyIdError, BadSignatureError):
            known = known._replace(keys=self._keys(known.metadata))
        with self._lock:
            self._known = known
        return jwt.decode(token, known.keys, registry=registry)

    def _completed(
        self, metadata: Metadata, claims: dict[str, Any], token: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Claims with those beside them that the provider tells only when it is asked once more."""
        needed = ["email", "email_verified"]
        if self.settings.roles:
            needed.append(self.settings.claim.partition(".")[0])
        access, end = token.get("access_token"), metadata.userinfo_endpoint
        if end is None or not isinstance(access, str) or all(name in claims for name in needed):
            return claims
        more = self._asked("GET", end, {"Authorization": f"Bearer {access}"})
        if more.get("sub") != claims["sub"]:
            raise SignInError("token", f"{end} is about somebody else than the ID token")
        return claims | {name: more[name] for name in needed if name in more}

    def _person(self, claims: Mapping[str, Any]) -> Person:
        subject, email = _sound(claims["sub"], LONGEST_SUBJECT), _sound(claims.get("email"), LONGEST_EMAIL)
        if subject is None:
            raise SignInError("token", "ID token: the subject is too long, or no text")
        verified = claims.get("email_verified")
        # a text at some providers, which is not what the specification says
        if email is None or "@" not in email or not (verified is True or verified == "true"):
            raise SignInError("unverified")
        email = compared(email)
        if not self.settings.admits(email):
            raise SignInError("domain")
        return Person(self.settings.issuer, subject, email, _values(claims, self.settings.claim))

    def _asked(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, content: bytes = b""
    ) -> dict[str, Any]:
        """The JSON object that an address of the provider replies, errors of OAuth among them."""
        sent = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
        try:
            reply = ask(method, url, self.reach, Call(content, sent, TIMEOUT, self._context))
        except TimeoutError as problem:
            raise SignInError("provider", f"{url}: no reply within {TIMEOUT:g} s") from problem
        except (RefusedTargetError, httpx.HTTPError, httpx.InvalidURL) as problem:
            raise SignInError("provider", f"{url}: {type(problem).__name__} {problem}") from problem
        try:
            found = json.loads(reply.content)
        except (ValueError, RecursionError) as problem:
            raise SignInError("provider", f"{url}: HTTP {reply.status}, and no JSON") from problem
        if not isinstance(found, dict) or (reply.status != httpx.codes.OK and "error" not in found):
            raise SignInError("provider", f"{url}: HTTP {reply.status}, and not what was asked for")
        return found


def _sound(text: Any, longest: int) -> str | None:
    """A claim, where it is a text that can be kept."""
    sound = isinstance(text, str) and 0 < len(text) <= longest and text.isprintable()
    return str(text) if sound else None


def _values(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """The texts of a claim; where none is called so, a dot leads into the parts of one."""
    found: Any = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    several = found if isinstance(found, list) else [found]
    return frozenset(one for one in several if isinstance(one, str))
