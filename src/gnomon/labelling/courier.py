"""Delivers what the outbox holds, in the background of the server: signed, tried again, given up in the end.

Messages are signed as the Standard Webhooks specification has it (`webhook-id`, `webhook-timestamp`,
`webhook-signature`), so that a receiver verifies them with a library.
"""

import base64
import hmac
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random, SystemRandom
from ssl import SSLContext
from threading import Lock

import httpx

import gnomon
from gnomon.labelling.background import in_background
from gnomon.labelling.reach import Call, Reach, RefusedTargetError, post
from gnomon.labelling.store import outbox
from gnomon.labelling.store.database import Store
from gnomon.labelling.store.outbox import Attempt, Message
from gnomon.labelling.store.webhooks import SECRET_PREFIX

THREADS = 4
"""Messages under way at a time."""
HOLD_MS = 60_000
"""How much longer than an attempt may take others wait before they take its message for lost."""
TIDY_MS = 3600 * 1000
"""How long the outbox is left alone after what is old in it was looked for."""
DAY_MS = 24 * TIDY_MS
BATCH = 200
"""Old messages forgotten in one transaction, which keeps others from writing."""

LOST = Attempt(None, "given up: whoever tried it last did not come back", 0)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a message is tried, and seconds: the first wait, which grows by `factor`, the time a receiver
    has to reply, and between two looks into the outbox. For `keep_days` what arrived stays in the log."""

    attempts: int = 8
    first_wait: float = 10.0
    factor: float = 4.0
    timeout: float = 10.0
    look: float = 2.0
    keep_days: float = 30.0


def signature(secret: str, message: str, timestamp: int, body: str) -> str:
    """The value of `webhook-signature`: HMAC-SHA256 over id, time (in seconds) and body, in base64."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = hmac.new(key, f"{message}.{timestamp}.{body}".encode(), sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"


@dataclass
class Courier:
    """Takes messages from a store to whom they are for, as far as `reach` allows."""

    store: Store
    reach: Reach = field(default_factory=Reach)
    pace: Pace = field(default_factory=Pace)
    rng: Random = field(default_factory=SystemRandom)
    _context: SSLContext = field(default_factory=httpx.create_ssl_context)
    _tidying: Lock = field(default_factory=Lock)
    _tidy_at: int = 0

    def deliver(self) -> bool:
        """Try the message that has been due longest; whether there was one.

        It is claimed, sent and settled in three steps, with no transaction open while the receiver takes its
        time: killed in between, it is sent again.
        """
        with self.store.read() as tx:
            if not outbox.anything_due(tx):
                return False
        with self.store.write() as tx:
            message = outbox.claim(tx, round(1000 * self.pace.timeout) + HOLD_MS)
        if message is None:
            return False
        attempt = self._tried(message) if message.attempts <= self.pace.attempts else LOST
        with self.store.write() as tx:
            outbox.settle(tx, message, attempt, self._again(message))
        return True

    def tidy(self) -> int:
        """Forget what arrived more than `keep_days` ago, at most once an hour; how many messages it was."""
        with self._tidying:
            now = self.store.clock()
            if now < self._tidy_at:
                return 0
            self._tidy_at = now + TIDY_MS
        before, total = now - round(self.pace.keep_days * DAY_MS), 0
        while True:
            with self.store.read() as tx:
                if not outbox.anything_old(tx, before):
                    return total
            with self.store.write() as tx:
                forgotten = outbox.forget(tx, before, BATCH)
            total += forgotten
            if forgotten < BATCH:
                return total

    @contextmanager
    def running(self) -> Iterator[None]:
        """Deliver what there is, by threads, until the block ends; what is under way is finished."""
        with in_background(self._work, THREADS, self.pace.look):
            yield

    def _work(self) -> bool:
        busy = self.deliver()
        if not busy:
            self.tidy()
        return busy

    def _tried(self, message: Message) -> Attempt:
        began, timestamp = time.monotonic(), self.store.clock() // 1000
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"gnomon/{gnomon.__version__}",
            "webhook-id": message.message,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(message.secret, message.message, timestamp, message.body),
        }
        call = Call(message.body.encode(), headers, self.pace.timeout, self._context)
        status: int | None = None
        error: str | None = None
        try:
            status = post(message.url, self.reach, call)
        except RefusedTargetError as problem:
            error = f"refused: {problem}"
        except TimeoutError:
            error = f"no reply within {self.pace.timeout:g} s"
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            error = f"{type(problem).__name__} {problem}".strip()
        return Attempt(status, error and error[:500], round(1000 * (time.monotonic() - began)))

    def _again(self, message: Message) -> int | None:
        """Milliseconds until the next attempt; None where this was the last."""
        if message.attempts >= self.pace.attempts:
            return None
        wait = self.pace.first_wait * self.pace.factor ** (message.attempts - 1)
        return round(1000 * wait * self.rng.uniform(0.75, 1.25))
