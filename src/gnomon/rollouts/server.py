"""A server that speaks OpenAI's wire format, asked with patience.

What comes back wrong for now (429, 5xx, a time-out, a connection cut, a body that is not JSON) is asked for
again, later each time and not before the server wants it; what is wrong for good is an error at once.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import uniform
from typing import Any

import httpx

from gnomon.errors import ConfigError, DataError, GnomonError, ModelError
from gnomon.models.reference import EndpointRef
from gnomon.runs import AGAIN

KEY = "GNOMON_API_KEY"
"""The variable that holds the key. It has a name of its own, so that no other service's key is sent here."""

FOR_NOW = (408, 409, 425, 429)
NOT_ALLOWED = (401, 403)

NO_ROOM = "must be at least 1, got 0"
TOO_LONG = ("context length", "context_length", "context size", "context window", "too long", NO_ROOM)
"""How servers say that a prompt does not fit; vLLM, of the tokens that are left for an answer."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How a server is asked: requests at a time, and how often and how many seconds each is waited for."""

    requests: int = 16
    attempts: int = 6
    timeout: float = 600.0
    first_wait: float = 1.0
    longest_wait: float = 600.0


@dataclass
class Usage:
    """What was asked for so far; tokens are those the server counted in answers that came."""

    requests: int = 0
    repeated: int = 0
    kept: int = 0
    prompt_tokens: int = 0
    response_tokens: int = 0

    def count(self, reply: Mapping[str, Any]) -> None:
        """Add the tokens of a reply."""
        counted = reply.get("usage") or {}
        self.prompt_tokens += counted.get("prompt_tokens") or 0
        self.response_tokens += counted.get("completion_tokens") or 0


class NotNowError(Exception):
    """To be asked for again; `wait` is how many seconds the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Server:
    """One connection to a server, for one batch of requests; `async with` opens and closes it."""

    def __init__(
        self,
        ref: EndpointRef,
        patience: Patience,
        usage: Usage,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.ref, self.patience, self.usage = ref, patience, usage
        self._key = _key()
        self._turns = asyncio.Semaphore(patience.requests)
        self._client = httpx.AsyncClient(
            base_url=f"{ref.url}/",
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=None,  # an attempt is timed as a whole
            limits=httpx.Limits(max_connections=patience.requests),
            transport=transport,
        )

    async def __aenter__(self) -> "Server":
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *problem: Any) -> None:
        await self._client.__aexit__(*problem)

    async def reply(self, path: str, body: Mapping[str, Any], what: str) -> Mapping[str, Any]:
        """The server's reply to a request about `what`, in its turn and as often as it takes."""
        wait = self.patience.first_wait
        async with self._turns:
            for attempt in range(1, self.patience.attempts + 1):
                try:
                    return await self._once(path, body, what)
                except NotNowError as problem:
                    pause = max(problem.wait, uniform(wait / 2, wait))
                    if attempt == self.patience.attempts or pause > self.patience.longest_wait:
                        raise self._given_up(problem, attempt, what) from None
                self.usage.repeated += 1
                wait = min(2 * wait, self.patience.longest_wait)
                await asyncio.sleep(pause)
        raise AssertionError("patience allows no attempt")

    async def _once(self, path: str, body: Mapping[str, Any], what: str) -> Mapping[str, Any]:
        self.usage.requests += 1
        try:
            async with asyncio.timeout(self.patience.timeout):
                response = await self._client.post(path, json=body)
        except TimeoutError:
            raise NotNowError(f"no reply within {self.patience.timeout:g} s") from None
        except httpx.RequestError as problem:
            raise NotNowError(f"{type(problem).__name__} {problem}".strip()) from None
        if response.status_code in FOR_NOW or response.status_code >= 500:
            said = f"HTTP {response.status_code} {self._said(response)}".strip()
            raise NotNowError(said, _asked_wait(response.headers.get("Retry-After", "")))
        if response.status_code != 200:
            raise self._refusal(response, what)
        try:
            reply: Mapping[str, Any] = response.json()
        except ValueError:
            raise NotNowError("a reply that is not JSON") from None
        return reply

    def _given_up(self, problem: NotNowError, attempts: int, what: str) -> GnomonError:
        asks = f", and asks to wait {problem.wait:.0f} s" if problem.wait else ""
        return ModelError(
            f"{self.ref} did not answer {what} in {attempts} attempts: {problem}{asks}; see that the server "
            f"is well {AGAIN}: answers that are kept in a file are not asked for again"
        )

    def _refusal(self, response: httpx.Response, what: str) -> GnomonError:
        """The error that a reply of 3xx or 4xx amounts to."""
        code, said = response.status_code, self._said(response)
        if code in NOT_ALLOWED:  # what is said may tell the key in part
            wrong = f"the key in {KEY} is refused" if self._key else f"no key was sent; set {KEY}"
            return ConfigError(f"{self.ref}: HTTP {code}, {wrong}")
        if code == 404:
            return ConfigError(
                f"{self.ref}: HTTP 404 {said}; check the model's name, and that the URL is where the API "
                "begins, often at /v1"
            )
        if any(sign in said.lower() for sign in TOO_LONG):
            return DataError(
                f"{what} does not fit the context of {self.ref}: {said}; shorten it or lower max_new_tokens"
            )
        return ConfigError(f"{self.ref} refuses {what}: HTTP {code} {said}")

    def _said(self, response: httpx.Response) -> str:
        """The message in an error's body, in one line, without the key."""
        try:
            body = response.json()
            error = body.get("error", body)
            said = str(error.get("message", error))
        except (ValueError, AttributeError):
            said = response.text
        said = " ".join(said.split())[:300]
        return said.replace(self._key, "***") if self._key else said


def _key() -> str:
    """The key, without a file's line break; ConfigError, without the key, where no header can hold it."""
    key = os.environ.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"the key in {KEY} holds characters that no key has; set it again")
    return key


def _asked_wait(text: str) -> float:
    """The seconds that a Retry-After header asks for, a number or a date; 0 where it says nothing."""
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
