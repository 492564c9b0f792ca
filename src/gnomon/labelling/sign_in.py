"""Signing in with an account elsewhere: who somebody is, and why they are not let in."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, NamedTuple

from gnomon.labelling.tokens import new_token

Reason = Literal[
    "provider", "denied", "over", "clock", "audience", "token", "unverified", "domain", "uninvited"
]


class Told(NamedTuple):
    """What somebody who is not let in is told: an HTTP status, a title, and what to do."""

    status: int
    title: str
    message: str


WHY: dict[Reason, Told] = {
    "provider": Told(
        502,
        "The sign-in service does not answer as it should",
        "Try again in a minute. If it goes on, tell whoever runs this server: its log says what is wrong.",
    ),
    "denied": Told(
        403,
        "You were not signed in",
        "The sign-in service was not allowed to say who you are. Sign in again.",
    ),
    "over": Told(
        400,
        "This sign-in is over",
        "It was begun in another browser, is finished already, or took more than ten minutes. Sign in again.",
    ),
    "clock": Told(
        502,
        "The clocks do not agree",
        "What the sign-in service said is not valid now, by the clock of this server. Sign in again. If that "
        "does not help, tell whoever runs this server to look after its clock.",
    ),
    "audience": Told(
        502,
        "This was meant for another application",
        "The sign-in service spoke to another application than this. Tell whoever runs this server: the "
        "client id is not the one that the service has.",
    ),
    "token": Told(
        502,
        "The sign-in service cannot be believed",
        "What it said is not complete, or not signed with its keys. Tell whoever runs this server: its log "
        "says what is wrong.",
    ),
    "unverified": Told(
        403,
        "Your e-mail address is not verified",
        "The sign-in service does not vouch for it. Have it verified there, then sign in again.",
    ),
    "domain": Told(
        403,
        "Your e-mail address may not come in",
        "It is of none of the organisations that may. Sign in with another account.",
    ),
    "uninvited": Told(
        403,
        "You are not invited",
        "Ask whoever runs the project to invite your e-mail address, or for a one-time link.",
    ),
}


def compared(email: str) -> str:
    """An e-mail address as it is compared: in small letters, where it is ASCII. Beyond that different letters
    have one small one: that of the Kelvin sign is k."""
    email = email.strip()
    return email.lower() if email.isascii() else email


class SignInError(Exception):
    """Somebody is not let in; `detail` is for the log, and never says who it is."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(WHY[reason].message)
        self.reason: Reason = reason
        self.detail = detail[:300]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in. What it proves itself by follows from a secret that its browser alone has."""

    secret: str = field(default_factory=new_token, repr=False)

    @property
    def nonce(self) -> str:
        """What an ID token must bear to be the answer to this attempt."""
        return sha256(b"nonce:" + self.secret.encode()).hexdigest()

    @property
    def verifier(self) -> str:
        """What a code is redeemed with (PKCE, RFC 7636): it is worth nothing to who overhears it."""
        return sha256(b"verifier:" + self.secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Person:
    """Who somebody is to a provider, by an identifier that never changes; an address that it has verified, as
    it is compared; and the values of the claim that roles go by."""

    issuer: str
    subject: str
    email: str
    values: frozenset[str] = frozenset()
