"""The application on a socket."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from gnomon.errors import ConfigError
from gnomon.labelling.app import create_app
from gnomon.labelling.courier import Courier
from gnomon.labelling.partner import Partner
from gnomon.labelling.queue import Queue
from gnomon.labelling.store.database import Store

if TYPE_CHECKING:
    from gnomon.labelling.openid import Provider


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections; port 0 takes a free one. ConfigError where it is taken."""
    try:
        door = socket.create_server((host, port), backlog=512)
    except OSError as problem:
        raise ConfigError(
            f"{host}:{port} cannot be served: {problem.strerror}; choose another --port"
        ) from problem
    # asyncio sets this only on sockets of its own; without it a reply waits 40 ms for an acknowledgement
    door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return door


def server(
    store: Store,
    queue: Queue | None = None,
    courier: Courier | None = None,
    partner: Partner | None = None,
    openid: "Provider | None" = None,
) -> uvicorn.Server:
    """The application's server; told to stop, it finishes what is under way first."""
    app = create_app(store, queue, courier, partner, openid)
    return uvicorn.Server(
        uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=10)
    )


@contextmanager
def serving(
    store: Store,
    door: socket.socket,
    queue: Queue | None = None,
    courier: Courier | None = None,
    partner: Partner | None = None,
    openid: "Provider | None" = None,
) -> Iterator[str]:
    """The address of the application while a thread serves it on a socket of `listen`."""
    served = server(store, queue, courier, partner, openid)
    thread = threading.Thread(target=served.run, kwargs={"sockets": [door]})
    thread.start()
    try:
        while thread.is_alive() and not served.started:
            time.sleep(0.005)
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
    finally:
        served.should_exit = True
        thread.join()
