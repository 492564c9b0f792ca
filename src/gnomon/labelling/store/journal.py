"""The audit log: who did what, when. It only grows."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import insert, select

from gnomon.labelling.store.database import Transaction
from gnomon.labelling.store.tables import annotators, audit


class Entry(NamedTuple):
    """One line of the log; the actor is a pseudonym, or None for the command line or nobody signed in."""

    at: int
    actor: str | None
    action: str
    detail: Mapping[str, Any]


def note(
    tx: Transaction, action: str, *, actor: int | None = None, project: int | None = None, **detail: Any
) -> None:
    """Add a line. `detail` may name things, never secrets or who a person is."""
    tx.connection.execute(
        insert(audit).values(
            actor_id=actor, project_id=project, action=action, detail=detail, created_at=tx.now
        )
    )


def entries(
    tx: Transaction, project: int | None, limit: int, before: int | None = None
) -> list[tuple[int, Entry]]:
    """The newest lines of a project, or of the site and none, with their numbers, newest first, those below
    `before` if it is given."""
    query = (
        select(audit.c.id, audit.c.created_at, annotators.c.pseudonym, audit.c.action, audit.c.detail)
        .outerjoin(annotators, annotators.c.id == audit.c.actor_id)
        .where(audit.c.project_id == project)
        .order_by(audit.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(audit.c.id < before)
    return [(number, Entry(*rest)) for number, *rest in tx.connection.execute(query)]
