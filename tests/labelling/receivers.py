"""Servers on this machine that webhooks are delivered to, and names that lead to them."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import NamedTuple

import pytest

Reply = Callable[["Handler"], None]


class Seen(NamedTuple):
    """A request that arrived."""

    path: str
    headers: dict[str, str]
    body: str


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent. Each request meets the next of `replies`, and 204 where there are no more."""

    daemon_threads = True

    def __init__(self, host: str, port: int = 0) -> None:
        super().__init__((host, port), Handler)
        self.host, self.lock = host, Lock()
        self.seen: list[Seen] = []
        self.replies: list[Reply] = []

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.server_port}/hook"

    def handle_error(self, *of) -> None:
        """A client that went away is no news."""


class Receiver6(Receiver):
    """On IPv6."""

    address_family = socket.AF_INET6

    @property
    def url(self) -> str:
        return f"http://[{self.host}]:{self.server_port}/hook"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.server.lock:
            self.server.seen.append(Seen(self.path, headers, body))
            reply = self.server.replies.pop(0) if self.server.replies else status(204)
        reply(self)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *of) -> None:
        pass


def status(code: int, **headers: str) -> Reply:
    def reply(handler: Handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    return reply


def endless(handler: Handler) -> None:
    """Never ends its headers, and never lets a reader wait long."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(40):
        time.sleep(0.1)
        handler.wfile.write(b"X-More: more\r\n")
        handler.wfile.flush()


@contextmanager
def receiving(
    host: str = "127.0.0.1", port: int = 0, context: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """A receiver that listens as long as the block lasts."""
    receiver = (Receiver6 if ":" in host else Receiver)(host, port)
    if context:
        receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    thread = Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.shutdown()
        thread.join()
        receiver.server_close()


def named(monkeypatch: pytest.MonkeyPatch, **places: list[str]) -> list[str]:
    """Let names (`_` for a dot) lead to addresses, another one each time they are looked up, the last for
    good; the names that were looked up."""
    looked_up: list[str] = []
    real = socket.getaddrinfo
    left = {name.replace("_", "."): list(found) for name, found in places.items()}

    def look_up(host, port, *of, **more):
        name = host.decode() if isinstance(host, bytes) else host
        if name not in left:
            return real(host, port, *of, **more)
        looked_up.append(name)
        found = left[name].pop(0) if len(left[name]) > 1 else left[name][0]
        return [place for address in found.split() for place in real(address, port, *of, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return looked_up
