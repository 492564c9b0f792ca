"""A server's doorman who turns requests away, and counts what he lets through."""

import time
from collections import Counter
from hashlib import sha256
from http.server import ThreadingHTTPServer
from threading import Lock

import httpx
import serving
from serving import Fault, body, status

from gnomon.models.reference import EndpointRef

PATIENCE = 30.0
"""Seconds that clients wait; a late reply, for which nobody was asked, comes after them."""
JSON = {"Content-Type": "application/json"}


class Faulty(ThreadingHTTPServer):
    """In front of a server, before it: every fifth request meets a fault, another kind each time.

    `delivered` counts whole replies by the digest of their request, `met` the faults.
    """

    daemon_threads = True

    def __init__(self, behind: EndpointRef) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind, self.lock = httpx.Client(base_url=behind.url, timeout=300.0), Lock()
        self.seen, self.met, self.delivered = 0, Counter[str](), Counter[str]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, *of: object) -> None:
        """A client that went away is no news."""

    def next_fault(self) -> Fault | None:
        with self.lock:
            self.seen += 1
            if self.seen % 5:
                return None
            name = list(FAULTS)[self.seen // 5 % len(FAULTS)]
            self.met[name] += 1
            return FAULTS[name]


class Handler(serving.Handler):
    server: Faulty
    asked: bytes

    def do_POST(self) -> None:  # noqa: N802  as http.server calls it
        self.asked = self.rfile.read(int(self.headers["Content-Length"]))
        if fault := self.server.next_fault():
            fault(self)
            return
        reply = self.forwarded()
        self.send(reply.status_code, reply.text)
        with self.server.lock:
            self.server.delivered[sha256(self.asked).hexdigest()] += 1

    def forwarded(self) -> httpx.Response:
        """What the server behind says."""
        return self.server.behind.post(self.path.removeprefix("/v1"), content=self.asked, headers=JSON)


def late(handler: Handler) -> None:
    time.sleep(PATIENCE + 2)
    handler.close_connection = True


def lost(handler: Handler) -> None:
    """Paid for, and cut short on the way."""
    reply = handler.forwarded()
    handler.close_connection = True
    handler.send(reply.status_code, reply.text[:-20], Content_Length=str(len(reply.content)))


FAULTS: dict[str, Fault] = {
    "429": status(429, "too many", Retry_After="1"),
    "500": status(500),
    "late": late,
    "cut": lost,
    "no json": body("<html>busy</html>"),
}
