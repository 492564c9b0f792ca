"""Webhooks: who listens to a project, and the log of what they were told."""

import base64
import secrets
from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, exists, func, insert, select, update
from sqlalchemy import delete as delete_from

from gnomon.labelling.settings import Event
from gnomon.labelling.store import journal
from gnomon.labelling.store.database import Transaction
from gnomon.labelling.store.tables import attempts, outbox, webhooks

SECRET_PREFIX = "whsec_"


class Webhook(NamedTuple):
    """Who listens, without the secret; how many messages wait, and how many were given up."""

    id: int
    url: str
    events: list[Event]
    paused: bool
    created_at: int
    waiting: int
    dead: int


def add(
    tx: Transaction, project: int, url: str, events: Collection[Event], actor: int | None = None
) -> tuple[int, str]:
    """A new webhook and the secret that signs what it is told, which is not given out again."""
    secret = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    values = {"project_id": project, "url": url, "events": sorted(events), "secret": secret}
    key = tx.connection.execute(
        insert(webhooks).values(**values, paused=False, created_at=tx.now).returning(webhooks.c.id)
    ).scalar_one()
    journal.note(tx, "webhook added", actor=actor, project=project, webhook=key)
    return int(key), secret


def of_project(tx: Transaction, project: int) -> list[Webhook]:
    """The webhooks of a project, in the order they were added."""
    told = {state: func.count().filter(outbox.c.state == state).label(state) for state in ("waiting", "dead")}
    columns = [webhooks.c[name] for name in Webhook._fields if name not in told]
    query = (
        select(*columns, *told.values())
        .select_from(webhooks)
        .outerjoin(outbox, outbox.c.webhook_id == webhooks.c.id)
        .where(webhooks.c.project_id == project, webhooks.c.deleted_at.is_(None))
        .group_by(webhooks.c.id)
        .order_by(webhooks.c.id)
    )
    return [Webhook(*row) for row in tx.connection.execute(query)]


def has(tx: Transaction, project: int, hook: int) -> bool:
    """Whether a project has this webhook."""
    return tx.connection.execute(select(webhooks.c.id).where(_own(project, hook))).first() is not None


def pause(tx: Transaction, project: int, hook: int, actor: int | None = None, *, paused: bool) -> bool:
    """Let messages wait with a webhook, or go on; False where there is none."""
    done = tx.connection.execute(update(webhooks).where(_own(project, hook)).values(paused=paused)).rowcount
    if done:
        action = "webhook paused" if paused else "webhook resumed"
        journal.note(tx, action, actor=actor, project=project, webhook=hook)
    return bool(done)


def delete(tx: Transaction, project: int, hook: int, actor: int | None = None) -> bool:
    """Tell a webhook nothing more, and forget its secret; False where there is none."""
    values = {"deleted_at": tx.now, "secret": ""}
    done = tx.connection.execute(update(webhooks).where(_own(project, hook)).values(values)).rowcount
    if done:
        waiting = update(outbox).where(outbox.c.webhook_id == hook, outbox.c.state == "waiting")
        tx.connection.execute(waiting.values(state="dead"))
        journal.note(tx, "webhook deleted", actor=actor, project=project, webhook=hook)
    return bool(done)


def deliveries(tx: Transaction, hook: int, limit: int, before: int | None = None) -> list[dict[str, Any]]:
    """The newest messages to a webhook, newest first, each with its attempts; those below number `before`."""
    names = ("id", "message", "event", "body", "state", "due_at", "created_at")
    query = select(*(outbox.c[name] for name in names)).where(outbox.c.webhook_id == hook)
    if before is not None:
        query = query.where(outbox.c.id < before)
    query = query.order_by(outbox.c.id.desc()).limit(limit)
    found = {row.id: {**row._asdict(), "attempts": []} for row in tx.connection.execute(query)}
    tried = select(attempts).where(attempts.c.outbox_id.in_(found)).order_by(attempts.c.id)
    for row in tx.connection.execute(tried):
        found[row.outbox_id]["attempts"].append(
            {"at": row.created_at, "status": row.status, "error": row.error, "took_ms": row.took_ms}
        )
    return list(found.values())


def again(tx: Transaction, project: int, hook: int, number: int, actor: int | None = None) -> bool:
    """Send a message once more, at once and as often as a new one; False where there is none."""
    values = {"state": "waiting", "attempts": 0, "due_at": tx.now}
    done = tx.connection.execute(
        update(outbox).where(_message(project, hook, number)).values(values)
    ).rowcount
    if done:
        journal.note(tx, "message sent again", actor=actor, project=project, webhook=hook, number=number)
    return bool(done)


def discard(tx: Transaction, project: int, hook: int, number: int, actor: int | None = None) -> bool:
    """Forget a message and how it went; False where there is none."""
    if tx.connection.execute(select(outbox.c.id).where(_message(project, hook, number))).first() is None:
        return False
    tx.connection.execute(delete_from(attempts).where(attempts.c.outbox_id == number))
    tx.connection.execute(delete_from(outbox).where(outbox.c.id == number))
    journal.note(tx, "message discarded", actor=actor, project=project, webhook=hook, number=number)
    return True


def _message(project: int, hook: int, number: int) -> ColumnElement[bool]:
    own = exists().where(_own(project, hook), webhooks.c.id == outbox.c.webhook_id)
    return and_(outbox.c.id == number, own)


def _own(project: int, hook: int) -> Any:
    return (webhooks.c.id == hook) & (webhooks.c.project_id == project) & webhooks.c.deleted_at.is_(None)
