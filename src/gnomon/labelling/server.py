"""The application on a socket."""

import socket

import uvicorn

from gnomon.errors import ConfigError
from gnomon.labelling.app import create_app
from gnomon.labelling.queue import Queue
from gnomon.labelling.store.database import Store


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


def server(store: Store, queue: Queue | None = None) -> uvicorn.Server:
    """The application's server; told to stop, it finishes what is under way first."""
    app = create_app(store, queue)
    return uvicorn.Server(
        uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=10)
    )
