"""Label events: what was said, in the order it was said, and what counts of it now; decisions beside it."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from sqlalchemy import Executable, Table, insert, select

from gnomon.labelling.store.database import Transaction
from gnomon.labelling.store.prepared import prepared
from gnomon.labelling.store.tables import annotators, assignments, decisions, events, items, labels

Kind = Literal["label", "decision"]
VIEWS: Mapping[Kind, Table] = {"label": labels, "decision": decisions}
SAID = ("outcome", "preferred", "strength", "flags", "rationale", "ranks")
"""What an event says of its task; the rest is how and when that came."""
ADD = insert(events).returning(events.c.id)
CHUNK = 500
"""Labels fetched together when all are read."""


def known(tx: Transaction, assignment: int, idempotency_key: str) -> Mapping[str, Any] | None:
    """What was said under a key, whether or not it was taken back; None where nothing was."""
    row = _known(tx, assignment, idempotency_key).one_or_none()
    return row._asdict() if row else None


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two labels, or decisions, say the same, in whatever time."""
    return all(one.get(name) == other.get(name) for name in SAID)


def record(
    tx: Transaction, assignment: int, idempotency_key: str, kept: Mapping[str, Any], kind: Kind = "label"
) -> int:
    """Add a label, or a decision, and return its number."""
    return _add(tx, assignment, idempotency_key, {"kind": kind, **kept})


def retract(tx: Transaction, assignment: int, idempotency_key: str) -> None:
    """Add that the last label or decision does not count any more."""
    _add(tx, assignment, idempotency_key, {"kind": "undo"})


def current(tx: Transaction, assignment: int, kind: Kind = "label") -> Mapping[str, Any] | None:
    """The label or decision that counts, or None."""
    view = VIEWS[kind]
    row = tx.connection.execute(select(view).where(view.c.assignment_id == assignment)).one_or_none()
    return row._asdict() if row else None


def retracted(tx: Transaction, assignment: int, kind: Kind = "label") -> Mapping[str, Any] | None:
    """The newest of an assignment whether or not it was taken back, or None where there was none."""
    row = _newest(tx, assignment, kind).one_or_none()
    return row._asdict() if row else None


def all_of(
    tx: Transaction, project: int, kind: Kind, *, with_text: bool = True
) -> Iterator[Mapping[str, Any]]:
    """Every label, or decision, that counts, in the order they were given, with its item and circumstances.

    Read a few at a time: memory does not grow with their number. Its prompt is there `with_text` alone.
    """
    view = VIEWS[kind]
    query = (
        select(
            *(view.c[name] for name in view.c.keys() if name != "assignment_id"),  # noqa: SIM118
            assignments.c.item_id,
            assignments.c.pass_number,
            assignments.c.shown_order,
            assignments.c.chosen_by,
            assignments.c.propensity,
            assignments.c.guideline_version,
            annotators.c.pseudonym.label("annotator"),
            items.c.external_id.label("item"),
            items.c.purpose,
            items.c.expected,
            items.c.drawn,
            items.c.probe,
            *((items.c.prompt,) if with_text else ()),
        )
        .join(assignments, assignments.c.id == view.c.assignment_id)
        .join(annotators, annotators.c.id == assignments.c.annotator_id)
        .join(items, items.c.id == assignments.c.item_id)
        .where(assignments.c.project_id == project)
        .order_by(view.c.id)
        .execution_options(yield_per=CHUNK)
    )
    for row in tx.connection.execute(query):
        yield row._asdict()


def _add(tx: Transaction, assignment: int, idempotency_key: str, values: Mapping[str, Any]) -> int:
    row = {"assignment_id": assignment, "idempotency_key": idempotency_key, "created_at": tx.now, **values}
    return int(tx.connection.execute(ADD, row).scalar_one())


@prepared
def _known(assignment: int, idempotency_key: str) -> Executable:
    own = events.c.assignment_id == assignment, events.c.idempotency_key == idempotency_key
    return select(*(events.c[name] for name in SAID)).where(*own)


@prepared
def _newest(assignment: int, kind: str) -> Executable:
    found = select(events).where(events.c.assignment_id == assignment, events.c.kind == kind)
    return found.order_by(events.c.id.desc()).limit(1)
