"""Messages to webhooks: written with what they tell of, given out to be delivered, and what came of each."""

import json
from datetime import UTC, datetime
from secrets import token_urlsafe
from typing import Any, NamedTuple

from sqlalchemy import Executable, Select, and_, delete, exists, func, insert, or_, select, update

from gnomon.labelling.settings import Event, ProjectSettings
from gnomon.labelling.store.database import Transaction
from gnomon.labelling.store.prepared import prepared
from gnomon.labelling.store.tables import assignments, attempts, items, labels, outbox, projects, webhooks

TEST = "test"
"""The event of a message that tells of nothing: it shows whether messages arrive."""


class Message(NamedTuple):
    """A message in the hands of who delivers it; `attempts` counts the one that is to come."""

    id: int
    message: str
    body: str
    url: str
    secret: str
    attempts: int


class Attempt(NamedTuple):
    """How an attempt went: the HTTP status or, where there was none, why; and how long it took."""

    status: int | None
    error: str | None
    took_ms: int

    @property
    def arrived(self) -> bool:
        """Whether the receiver says it has the message."""
        return self.status is not None and 200 <= self.status < 300


def note_vote(tx: Transaction, project: int, item: int) -> None:
    """Tell who listens where an item has just been given its last vote, and where all of them have theirs:
    dialogues have no last one.

    Those who vote on one item, or finish two at once, wait for each other here: somebody is the last.
    """
    if not _anybody_listens(tx, project).scalar():
        return
    query = select(items.c.external_id, items.c.purpose).where(items.c.id == item)
    row = tx.connection.execute(query.with_for_update(key_share=True)).one()
    settings = _settings(tx, project)
    if row.purpose != "ordinary" or _votes(tx, item) != settings.votes:
        return
    note(tx, project, "item.finished", item=row.external_id, votes=settings.votes)
    if settings.kind == "dialogue":
        return
    tx.connection.execute(
        select(projects.c.id).where(projects.c.id == project).with_for_update(key_share=True)
    )
    if not _wanting(tx, project, settings.overlap):
        ordinary = and_(items.c.project_id == project, items.c.purpose == "ordinary")
        count = tx.connection.execute(select(func.count()).where(ordinary)).scalar_one()
        note(tx, project, "project.finished", items=int(count))


def note(tx: Transaction, project: int, event: Event, **data: Any) -> None:
    """A message to every webhook that listens to an event, paused ones included: it waits with them."""
    query = select(webhooks.c.id, webhooks.c.events).where(_listening(project))
    for hook, events in tx.connection.execute(query).all():
        if event in events:
            put(tx, project, hook, event, **data)


def put(tx: Transaction, project: int, hook: int, event: str, **data: Any) -> str:
    """A message to one webhook, and the id it is known by."""
    slug = tx.connection.execute(select(projects.c.slug).where(projects.c.id == project)).scalar_one()
    told = {
        "type": event,
        "timestamp": datetime.fromtimestamp(tx.now / 1000, UTC).isoformat(),
        "data": {"project": slug, **data},
    }
    message = f"msg_{token_urlsafe(18)}"
    tx.connection.execute(
        insert(outbox).values(
            webhook_id=hook,
            message=message,
            event=event,
            body=json.dumps(told, ensure_ascii=False, separators=(",", ":")),
            state="waiting",
            attempts=0,
            due_at=tx.now,
            created_at=tx.now,
        )
    )
    return message


def anything_due(tx: Transaction) -> bool:
    """Whether `claim` would find something."""
    return tx.connection.execute(_due(tx).limit(1)).first() is not None


def claim(tx: Transaction, hold_ms: int) -> Message | None:
    """The message that has been due longest, None where none is. Others find it again after `hold_ms`, if it
    was not settled by then: who held it is gone, and it may arrive twice."""
    query = _due(tx).order_by(outbox.c.due_at, outbox.c.id).limit(1)
    row = tx.connection.execute(query.with_for_update(skip_locked=True, of=outbox)).one_or_none()
    if row is None:
        return None
    found = Message(*row)
    claimed = found._replace(attempts=found.attempts + 1)
    tx.connection.execute(
        update(outbox)
        .where(outbox.c.id == found.id)
        .values(attempts=claimed.attempts, due_at=tx.now + hold_ms)
    )
    return claimed


def settle(tx: Transaction, message: Message, attempt: Attempt, again_in_ms: int | None) -> None:
    """Keep how an attempt went: delivered, or due again, or, without a time for that, dead.

    Of a message that was discarded meanwhile nothing is kept.
    """
    there = select(outbox.c.id).where(outbox.c.id == message.id).with_for_update()
    if tx.connection.execute(there).first() is None:
        return
    tx.connection.execute(
        insert(attempts).values(outbox_id=message.id, created_at=tx.now, **attempt._asdict())
    )
    if attempt.arrived:
        values: dict[str, Any] = {"state": "delivered"}
    elif again_in_ms is None:
        values = {"state": "dead"}
    else:
        values = {"due_at": tx.now + again_in_ms}
    same = and_(outbox.c.id == message.id, outbox.c.attempts == message.attempts)
    tx.connection.execute(update(outbox).where(same).values(values))


def anything_old(tx: Transaction, before: int) -> bool:
    """Whether `forget` would find something."""
    return tx.connection.execute(_old(before).limit(1)).first() is not None


def forget(tx: Transaction, before: int, most: int) -> int:
    """Delete messages that arrived before a moment, at most so many, and return how many it was.

    What was given up is kept as long as its webhook, and then goes as well.
    """
    query = _old(before).limit(most).with_for_update(skip_locked=True, of=outbox)
    found = list(tx.connection.execute(query).scalars())
    tx.connection.execute(delete(attempts).where(attempts.c.outbox_id.in_(found)))
    tx.connection.execute(delete(outbox).where(outbox.c.id.in_(found)))
    return len(found)


def _old(before: int) -> Select[Any]:
    """A message's `due_at` is that of its last attempt, and some seconds."""
    gone = exists().where(webhooks.c.id == outbox.c.webhook_id, webhooks.c.deleted_at.is_not(None))
    settled = or_(outbox.c.state == "delivered", and_(outbox.c.state == "dead", gone))
    return select(outbox.c.id).where(
        outbox.c.state.in_(("delivered", "dead")), outbox.c.due_at < before, settled
    )


def _due(tx: Transaction) -> Select[Any]:
    columns = (outbox.c.id, outbox.c.message, outbox.c.body, webhooks.c.url, webhooks.c.secret)
    return (
        select(*columns, outbox.c.attempts)
        .join(webhooks, webhooks.c.id == outbox.c.webhook_id)
        .where(
            outbox.c.state == "waiting",
            outbox.c.due_at <= tx.now,
            webhooks.c.paused.is_(False),
            webhooks.c.deleted_at.is_(None),
        )
    )


@prepared
def _anybody_listens(project: int) -> Executable:
    return select(exists().where(_listening(project)))


def _listening(project: int) -> Any:
    return and_(webhooks.c.project_id == project, webhooks.c.deleted_at.is_(None))


def _settings(tx: Transaction, project: int) -> ProjectSettings:
    query = select(projects.c.settings).where(projects.c.id == project)
    return ProjectSettings.model_validate(tx.connection.execute(query).scalar_one())


def _votes(tx: Transaction, item: int) -> int:
    """First judgements of an item that count as votes."""
    query = (
        select(func.count())
        .select_from(labels)
        .join(assignments, assignments.c.id == labels.c.assignment_id)
        .where(
            assignments.c.item_id == item,
            assignments.c.pass_number == 1,
            assignments.c.state == "done",
            labels.c.outcome != "skip",
        )
    )
    return int(tx.connection.execute(query).scalar_one())


def _wanting(tx: Transaction, project: int, overlap: int) -> bool:
    """Whether an ordinary item of a project wants a vote, or somebody is at one.

    Leases are looked up by when they end: those there are, and not all tasks of the project.
    """
    fewer = exists().where(
        items.c.project_id == project, items.c.purpose == "ordinary", items.c.taken < overlap
    )
    at_it = exists().where(
        assignments.c.state == "leased",
        assignments.c.expires_at > 0,
        assignments.c.project_id == project,
        assignments.c.pass_number == 1,
        items.c.id == assignments.c.item_id,
        items.c.purpose == "ordinary",
    )
    return bool(tx.connection.execute(select(fewer | at_it)).scalar())
