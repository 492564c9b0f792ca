"""Tokens and passwords: what is handed out, and what is kept of it."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from threading import Semaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from gnomon.errors import DataError

HASHED_AT_ONCE, IN_ROOM = 2, 10
"""Passwords that are hashed at a time, each in 64 MiB; and those that may be, or wait to be."""
SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 1000
_HASHER = PasswordHasher()
_ROOM, _HASHING = Semaphore(IN_ROOM), Semaphore(HASHED_AT_ONCE)


class CrowdError(DataError):
    """Many passwords are being looked at, and another would keep threads from everybody else."""

    def __init__(self) -> None:
        super().__init__("many people are signing in at the moment; try again in a few seconds")


def new_token(prefix: str = "") -> str:
    """A secret of 256 random bits that fits into a link."""
    return prefix + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What is kept of a token. It has enough random bits that a plain hash cannot be turned back."""
    return sha256(token.encode()).hexdigest()


def csrf_token(session_token: str) -> str:
    """The token that proves a form came from a page of this session: known only with the session's own."""
    return sha256(b"csrf:" + session_token.encode()).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell where they differ."""
    return secrets.compare_digest(one.encode(), other.encode())


def hash_password(password: str) -> str:
    """argon2id of a password; DataError for one that is too short to be any good, CrowdError among many."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise DataError(f"a password has at least {SHORTEST_PASSWORD} characters; choose a longer one")
    with _in_turn():
        return _HASHER.hash(password)


def password_fits(password: str, kept: str | None) -> bool:
    """Whether a password is the one kept; as slow where there is none, so that names cannot be tried out.

    CrowdError among many.
    """
    try:
        with _in_turn():
            return _HASHER.verify(kept or _nobody(), password[:LONGEST_PASSWORD]) and kept is not None
    except (VerifyMismatchError, InvalidHashError):
        return False


@contextmanager
def _in_turn() -> Iterator[None]:
    if not _ROOM.acquire(blocking=False):
        raise CrowdError
    try:
        with _HASHING:
            yield
    finally:
        _ROOM.release()


@cache
def _nobody() -> str:
    return _HASHER.hash(secrets.token_hex(16))
