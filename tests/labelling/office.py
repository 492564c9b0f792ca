"""People, pairs and servers for the tests of the labelling application."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from sqlalchemy import select

from gnomon.labelling.client import LabelClient
from gnomon.labelling.export import stream
from gnomon.labelling.items import Drawn, Item, Response
from gnomon.labelling.partner import Partner
from gnomon.labelling.queue import Queue, Turn
from gnomon.labelling.server import listen, serving
from gnomon.labelling.settings import GRANTS, ProjectSettings
from gnomon.labelling.store import people, projects
from gnomon.labelling.store.database import Store
from gnomon.records import Message

PLAIN = ProjectSettings(gold_rate=0, repeat_rate=0)
"""Nothing but ordinary items, each asked once."""
PASSWORD = "correct horse battery"

DRAWN = Drawn(
    policy="secret-model-3",
    digest="secret-digest",
    sampling={"temperature": 0.5},
    seed=0,
    propensity=0.25,
    attempts=1,
    tokens=(3, 4),
    logps=(-1.5, None),
    ended=(True, False),
)
"""How a pair was sampled, which nobody who judges it may see."""


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def pass_minutes(self, minutes: float) -> None:
        self.now += round(minutes * 60_000)


def pair(name: str, purpose: str = "ordinary", expected: int | None = None) -> Item:
    """An item whose texts say which response is which, and whose origins nobody may see."""
    return Item(
        id=name,
        prompt=(Message("user", f"Question {name}?"),),
        responses=(
            Response(messages=(Message("assistant", f"{name}, first"),), origin="secret-model-1"),
            Response(messages=(Message("assistant", f"{name}, second"),), origin="secret-model-2"),
        ),
        purpose=purpose,
        expected=expected,
    )


def pairs(count: int) -> list[Item]:
    return [pair(f"pair-{number}") for number in range(count)]


def several(name: str, count: int = 4) -> Item:
    """An item with so many answers to rank."""
    return Item(
        id=name,
        prompt=(Message("user", f"Question {name}?"),),
        responses=tuple(
            Response(messages=(Message("assistant", f"{name}, {place}"),), origin=f"secret-model-{place}")
            for place in range(count)
        ),
    )


def project(store: Store, items: list[Item], settings: ProjectSettings = PLAIN, slug: str = "p"):
    with store.write() as tx:
        made = projects.create(tx, slug, f"Project {slug}", settings)
        projects.add_items(tx, made.id, items)
    return made


def all_of(store: Store, table) -> list:
    """The rows of a table, or of a view, in the order they came."""
    with store.read() as tx:
        return [row._mapping for row in tx.connection.execute(select(table).order_by(table.c.id))]


def exported(store: Store, made, form: str, **more) -> bytes:
    """A whole export."""
    return b"".join(stream(store, made.id, form, **more))


def lines(content: bytes) -> list[dict]:
    return [json.loads(line) for line in content.splitlines()]


def somebody(store: Store, of=None, role: str = "annotator", *, site_admin: bool = False) -> people.Annotator:
    with store.write() as tx:
        annotator = people.add_annotator(tx, site_admin=site_admin)
        if of is not None:
            people.join(tx, of.id, annotator.id, role)
    return annotator


def turn(store: Store, of) -> Turn:
    """A new annotator's turn."""
    return Turn(of, somebody(store, of).id)


def key(store: Store, of=None, role: str = "annotator", **more) -> str:
    """The API key of somebody new, with all that the role allows."""
    annotator = somebody(store, of, role, **more)
    with store.write() as tx:
        return people.create_key(tx, annotator.id, GRANTS["admin" if more else role])


@contextmanager
def running(store: Store, queue: Queue | None = None, partner: Partner | None = None) -> Iterator[str]:
    """The address of the application, served on a real socket by a thread."""
    with serving(store, listen("127.0.0.1", 0), queue, partner=partner) as url:
        yield url


@contextmanager
def talking(store: Store, of, role: str = "annotator") -> Iterator[LabelClient]:
    """A client of somebody new, on a server of its own."""
    with running(store) as url, LabelClient(url, key(store, of, role)) as client:
        yield client


def browser(url: str) -> httpx.Client:
    """What a browser sends beside its requests: where they come from, and its cookies."""
    return httpx.Client(base_url=url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=30)


@contextmanager
def arrive(store: Store, url: str, of=None, role: str = "admin", name: str = "Ada") -> Iterator[httpx.Client]:
    """A browser that has used a one-time link and is signed in."""
    with store.write() as tx:
        token = people.invite(tx, role, of.id if of else None)
    with browser(url) as seen:
        reply = seen.post(f"/join/{token}", data={"name": name, "password": PASSWORD})
        assert reply.status_code == 303, reply.text
        yield seen


def together(count: int, work) -> list:
    """What `work(number)` returns from as many threads, all let go at the same moment."""
    ready, results = threading.Barrier(count), [None] * count

    def run(number: int) -> None:
        ready.wait()
        try:
            results[number] = work(number)
        except Exception as problem:  # handed back, for the test to look at
            results[number] = problem

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


SERVE = """
import sys
from gnomon.labelling.server import listen, server
from gnomon.labelling.store.database import open_store
door = listen("127.0.0.1", 0)
print(door.getsockname()[1], flush=True)
server(open_store(sys.argv[1])).run(sockets=[door])
"""


def process(place: str) -> tuple[subprocess.Popen, str]:
    """A server of its own on a database, and its address."""
    served = subprocess.Popen([sys.executable, "-c", SERVE, place], stdout=subprocess.PIPE, text=True)
    return served, f"http://127.0.0.1:{int(served.stdout.readline())}"
