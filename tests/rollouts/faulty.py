"""A server's doorman who turns requests away, and counts what he lets through."""

import json
import time
from collections import Counter
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

import httpx

from gnomon.models.reference import EndpointRef

FAULTS = ("429", "500", "late", "cut", "no json")
PATIENCE = 30.0
"""Seconds that clients wait; a late reply, for which nobody was asked, comes after them."""
JSON = {"Content-Type": "application/json"}


class Faulty(ThreadingHTTPServer):
    """In front of a server, before it: every fifth request meets a fault, another kind each time.

    `delivered` counts whole replies by the digest of their request, `tokens` what the server counted for all
    of them, `met` the faults.
    """

    daemon_threads = True

    def __init__(self, behind: EndpointRef) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind, self.lock = httpx.Client(base_url=behind.url, timeout=300.0), Lock()
        self.seen, self.met = 0, Counter[str]()
        self.delivered, self.tokens = Counter[str](), 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, *of: object) -> None:
        """A client that went away is no news."""

    def next_fault(self) -> str | None:
        with self.lock:
            self.seen += 1
            if self.seen % 5:
                return None
            fault = FAULTS[self.seen // 5 % len(FAULTS)]
            self.met[fault] += 1
            return fault


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Faulty

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault = self.server.next_fault()
        if fault == "429":
            return self.send(429, b'{"error": {"message": "too many"}}', Retry_After="1")
        if fault == "500":
            return self.send(500, b"oh dear")
        if fault == "no json":
            return self.send(200, b"<html>busy</html>")
        if fault == "late":
            time.sleep(PATIENCE + 2)
            self.close_connection = True
            return None
        reply = self.server.behind.post(self.path.removeprefix("/v1"), content=body, headers=JSON)
        if fault == "cut":  # paid for, and lost on the way
            self.close_connection = True
            return self.send(reply.status_code, reply.content[:-20], Content_Length=str(len(reply.content)))
        self.send(reply.status_code, reply.content)
        with self.server.lock:
            self.server.delivered[sha256(body).hexdigest()] += 1
            self.server.tokens += json.loads(reply.content)["usage"]["total_tokens"]
        return None

    def send(self, code: int, text: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in ({"Content_Length": str(len(text))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *of: object) -> None:
        pass
