"""What every response carries: what its page may do, which is nothing but what it needs."""

from secrets import token_urlsafe

from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gnomon.labelling.auth import caller_of
from gnomon.labelling.store.database import Store

POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
STRANGERS, MOST = 64 * 1024, 64 * 1024**2
"""Bytes of a body that are read of a stranger, and of anybody."""


class Guard:
    """Gives every response its headers; pages find the nonce of their scripts in `request.state`.

    A body is in memory before the application asks who sends it, so what is long is read no further here.
    """

    def __init__(self, app: ASGIApp, store: Store) -> None:
        self.app, self.store = app, store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        nonce = token_urlsafe(16)
        scope.setdefault("state", {})["nonce"] = nonce
        read, known = 0, False

        async def counted() -> Message:
            nonlocal read, known
            message = await receive()
            read += len(message.get("body", b""))
            if read > STRANGERS and not known:
                known = await run_in_threadpool(caller_of, HTTPConnection(scope), self.store) is not None
            if read > (MOST if known else STRANGERS):
                raise HTTPException(413, "this is too much at a time; send less, or sign in first")
            return message

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update({**HEADERS, "Content-Security-Policy": POLICY.format(nonce=nonce)})
                if not scope["path"].startswith("/static/"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self.app(scope, counted, guarded)
