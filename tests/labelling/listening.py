"""Webhooks, votes and what was told of them, for the tests of what delivers it."""

import json
from random import Random

from sqlalchemy import select

from gnomon.labelling.courier import Courier, Pace
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.queue import Queue, Turn
from gnomon.labelling.reach import Reach
from gnomon.labelling.store import webhooks
from gnomon.labelling.store.tables import outbox

LOCAL = Reach.of(["127.0.0.0/8"])
BOTH = ("item.finished", "project.finished")
TIE = Judgement(choice="tie")


def hook(store, made, url: str = "http://127.0.0.1:9/", events=BOTH) -> tuple[int, str]:
    with store.write() as tx:
        return webhooks.add(tx, made.id, url, events)


def courier(store, **pace) -> Courier:
    return Courier(store, LOCAL, Pace(**{"timeout": 5.0, **pace}), Random(0))


def vote(store, who: Turn, judgement: Judgement = TIE, count: int = 1) -> None:
    queue = Queue(store)
    for _ in range(count):
        task = queue.next(who)
        queue.submit(who, task.token, judgement, f"key-{task.token}")


def told(store) -> list[dict]:
    """The messages in the outbox, in order: the event with what it tells."""
    with store.read() as tx:
        rows = tx.connection.execute(select(outbox).order_by(outbox.c.id)).all()
    return [{"event": row.event, **json.loads(row.body)["data"]} for row in rows]


def log(store, number: int) -> list[dict]:
    with store.read() as tx:
        return webhooks.deliveries(tx, number, 100)
