"""Assignments: which items could be given to somebody, giving them, and taking them back."""

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, exists, func, insert, or_, select, update

from gnomon.labelling.settings import Purpose
from gnomon.labelling.store import outbox
from gnomon.labelling.store.database import Transaction
from gnomon.labelling.store.tables import annotators, assignments, events, items, labels

ORDINARY: Purpose = "ordinary"
HEARING = 0
"""The pass in which somebody decides on what others said."""


class Assignment(NamedTuple):
    """An item in somebody's hands; `shown_order` has the responses' places from left to right."""

    id: int
    token: str
    project_id: int
    item_id: int
    annotator_id: int
    pass_number: int
    shown_order: Sequence[int]
    guideline_version: int | None
    state: str
    expires_at: int


class Draw(NamedTuple):
    """Which item comes next and how it was drawn; both are kept with the assignment."""

    item_id: int
    chosen_by: str
    propensity: float


def lock_annotator(tx: Transaction, annotator: int) -> None:
    """Let one person's requests wait for each other (SQLite has one writer anyway)."""
    tx.connection.execute(select(annotators.c.id).where(annotators.c.id == annotator).with_for_update())


def anything_expired(tx: Transaction, project: int) -> bool:
    """Whether `return_expired` would find something."""
    return bool(tx.connection.execute(select(exists().where(_expired(tx, project)))).scalar())


def return_expired(tx: Transaction, project: int) -> int:
    """Take back the assignments whose lease ran out, so that others can be asked; how many there were."""
    query = (
        select(assignments.c.id, assignments.c.item_id, assignments.c.pass_number)
        .where(_expired(tx, project))
        .order_by(assignments.c.item_id)
        .with_for_update(skip_locked=True)
    )
    expired = tx.connection.execute(query).all()
    for assignment, item, pass_number in expired:
        _set_state(tx, assignment, "returned")
        if pass_number == 1:
            _shift_taken(tx, item, -1)
    return len(expired)


def give_back(tx: Transaction, assignment: Assignment) -> None:
    """Take back what its holder does not want to answer now."""
    _set_state(tx, assignment.id, "returned")
    if assignment.pass_number == 1:
        _shift_taken(tx, assignment.item_id, -1)


def held(tx: Transaction, project: int, annotator: int, *, hearing: bool = False) -> Assignment | None:
    """What somebody has been given to judge, or to decide, and not answered yet, the oldest first."""
    query = _assignments().where(
        assignments.c.project_id == project,
        assignments.c.annotator_id == annotator,
        _is_hearing(hearing),
        assignments.c.state == "leased",
        assignments.c.expires_at > tx.now,
    )
    row = tx.connection.execute(query.order_by(assignments.c.id).limit(1)).one_or_none()
    return Assignment(*row) if row else None


def of_token(
    tx: Transaction, project: int, annotator: int, token: str, *, hearing: bool = False
) -> Assignment | None:
    """Somebody's own assignment in a project, locked until the transaction ends; None for any other token."""
    query = _assignments().where(
        _is_hearing(hearing),
        assignments.c.token == token,
        assignments.c.project_id == project,
        assignments.c.annotator_id == annotator,
    )
    row = tx.connection.execute(query.with_for_update()).one_or_none()
    return Assignment(*row) if row else None


def of_item(tx: Transaction, item: int, annotator: int) -> Assignment:
    """Somebody's first judgement of an item, given or to be given."""
    query = _assignments().where(
        assignments.c.item_id == item,
        assignments.c.annotator_id == annotator,
        assignments.c.pass_number == 1,
    )
    return Assignment(*tx.connection.execute(query).one())


def unseen(
    tx: Transaction, project: int, annotator: int, purpose: Purpose, overlap: int | None = None
) -> list[int]:
    """Items of a purpose that somebody has not answered, with fewer than `overlap` votes where given."""
    query = select(items.c.id).where(_open_to(project, annotator, purpose, overlap))
    return list(tx.connection.execute(query.order_by(items.c.id)).scalars().all())


def count_unseen(tx: Transaction, project: int, annotator: int, purpose: Purpose, overlap: int) -> int:
    """How many `unseen` would give."""
    query = select(func.count()).where(_open_to(project, annotator, purpose, overlap))
    return int(tx.connection.execute(query).scalar_one())


def may_come_back(tx: Transaction, project: int, annotator: int) -> bool:
    """Whether others hold an ordinary item that somebody could still be asked about."""
    theirs = exists().where(
        assignments.c.item_id == items.c.id, assignments.c.state == "leased", assignments.c.pass_number == 1
    )
    wanted = _open_to(project, annotator, ORDINARY, None)
    return bool(tx.connection.execute(select(exists().where(wanted, theirs))).scalar())


def repeatable(tx: Transaction, project: int, annotator: int, gap: int) -> list[tuple[int, Sequence[int]]]:
    """Ordinary items somebody judged at least `gap` tasks ago and only once, with the order they were in."""
    own = select(assignments.c.item_id, assignments.c.shown_order, labels.c.outcome, items.c.purpose)
    own = own.join(labels, labels.c.assignment_id == assignments.c.id)
    own = own.join(items, items.c.id == assignments.c.item_id)
    mine = and_(assignments.c.project_id == project, assignments.c.annotator_id == annotator)
    rows = tx.connection.execute(own.where(mine, assignments.c.pass_number == 1).order_by(labels.c.id)).all()
    again = select(assignments.c.item_id).where(mine, assignments.c.pass_number > 1)
    repeated = set(tx.connection.execute(again).scalars())
    early = rows[: max(0, len(rows) - gap)]
    return [
        (row.item_id, row.shown_order)
        for row in early
        if row.purpose == ORDINARY and row.outcome != "skip" and row.item_id not in repeated
    ]


def qualification(tx: Transaction, project: int, annotator: int) -> tuple[int, int]:
    """How many items of the qualification round somebody answered, and how many of them as expected."""
    query = (
        select(func.count(), func.count().filter(labels.c.preferred == items.c.expected))
        .select_from(labels)
        .join(assignments, assignments.c.id == labels.c.assignment_id)
        .join(items, items.c.id == assignments.c.item_id)
        .where(
            assignments.c.project_id == project,
            assignments.c.annotator_id == annotator,
            items.c.purpose == "qualification",
        )
    )
    answered, right = tx.connection.execute(query).one()
    return int(answered), int(right)


def reserve(tx: Transaction, item: int, overlap: int, *, wait: bool) -> bool:
    """Take one of an item's votes; False where all are taken, or others are at it and `wait` is off."""
    query = select(items.c.taken).where(items.c.id == item).with_for_update(skip_locked=not wait)
    taken = tx.connection.execute(query).scalar_one_or_none()
    if taken is None or taken >= overlap:
        return False
    _shift_taken(tx, item, 1)
    return True


def give(
    tx: Transaction,
    draw: Draw,
    holder: tuple[int, int],
    shown_order: Sequence[int],
    *,
    pass_number: int,
    guideline_version: int | None,
    expires_at: int,
) -> Assignment:
    """Hand an item to a holder (project, annotator): a new assignment, or one that had been returned."""
    project, annotator = holder
    values = {
        "token": secrets.token_urlsafe(16),
        "shown_order": list(shown_order),
        "chosen_by": draw.chosen_by,
        "propensity": draw.propensity,
        "guideline_version": guideline_version,
        "state": "leased",
        "created_at": tx.now,
        "expires_at": expires_at,
    }
    same = and_(
        assignments.c.item_id == draw.item_id,
        assignments.c.annotator_id == annotator,
        assignments.c.pass_number == pass_number,
    )
    key = tx.connection.execute(select(assignments.c.id).where(same)).scalar_one_or_none()
    if key is None:
        values |= {"project_id": project, "item_id": draw.item_id, "annotator_id": annotator}
        tx.connection.execute(insert(assignments).values(pass_number=pass_number, **values))
    else:
        tx.connection.execute(update(assignments).where(assignments.c.id == key).values(values))
    return Assignment(*tx.connection.execute(_assignments().where(same)).one())


def finish(tx: Transaction, assignment: Assignment, *, votes: bool) -> None:
    """Mark as answered; a skipped one does not count as a vote, so that somebody else is asked.

    Repeats and decisions are no votes, whatever was said.
    """
    _set_state(tx, assignment.id, "done")
    if assignment.pass_number != 1:
        return
    if votes:
        outbox.note_vote(tx, assignment.project_id, assignment.item_id)
    else:
        _shift_taken(tx, assignment.item_id, -1)


def reopen(tx: Transaction, assignment: Assignment, expires_at: int) -> None:
    """Put back into its holder's hands what was answered."""
    tx.connection.execute(
        update(assignments)
        .where(assignments.c.id == assignment.id)
        .values(state="leased", expires_at=expires_at)
    )


def count_answers(tx: Transaction, item: int) -> int:
    """How many answers an item has."""
    return int(tx.connection.execute(select(items.c.answers).where(items.c.id == item)).scalar_one())


def content(tx: Transaction, item: int) -> Any:
    """The prompt of an item."""
    return tx.connection.execute(select(items.c.prompt).where(items.c.id == item)).scalar_one()


def last_done(tx: Transaction, project: int, annotator: int, *, hearing: bool = False) -> Assignment | None:
    """What somebody judged, or decided, last."""
    query = _assignments().join(events, events.c.assignment_id == assignments.c.id)
    query = query.where(
        _is_hearing(hearing),
        assignments.c.project_id == project,
        assignments.c.annotator_id == annotator,
        assignments.c.state == "done",
    )
    row = tx.connection.execute(query.order_by(events.c.id.desc()).limit(1)).one_or_none()
    return Assignment(*row) if row else None


def count_done(tx: Transaction, project: int, annotator: int, *, hearing: bool = False) -> int:
    """How many tasks somebody judged, or decided."""
    query = select(func.count()).where(
        _is_hearing(hearing),
        assignments.c.project_id == project,
        assignments.c.annotator_id == annotator,
        assignments.c.state == "done",
    )
    return int(tx.connection.execute(query).scalar_one())


def _open_to(project: int, annotator: int, purpose: Purpose, overlap: int | None) -> Any:
    """Items that somebody does not hold, has not answered, and that want more votes.

    Who was ever shown what others said of one is not asked about it any more.
    """
    own = exists().where(
        assignments.c.item_id == items.c.id,
        assignments.c.annotator_id == annotator,
        or_(assignments.c.state != "returned", _is_hearing(hearing=True)),
    )
    wanted = and_(items.c.project_id == project, items.c.purpose == purpose, ~own)
    return wanted if overlap is None else and_(wanted, items.c.taken < overlap)


def _is_hearing(hearing: bool) -> ColumnElement[bool]:  # noqa: FBT001  one question, one answer
    return assignments.c.pass_number == HEARING if hearing else assignments.c.pass_number > HEARING


def _expired(tx: Transaction, project: int) -> Any:
    return and_(
        assignments.c.state == "leased",
        assignments.c.expires_at <= tx.now,
        assignments.c.project_id == project,
    )


def _assignments() -> Select[Any]:
    return select(*(assignments.c[name] for name in Assignment._fields))


def _set_state(tx: Transaction, assignment: int, state: str) -> None:
    tx.connection.execute(update(assignments).where(assignments.c.id == assignment).values(state=state))


def _shift_taken(tx: Transaction, item: int, by: int) -> None:
    """Only ordinary items have a limited number of votes; the others are asked of everybody."""
    tx.connection.execute(
        update(items).where(items.c.id == item, items.c.purpose == ORDINARY).values(taken=items.c.taken + by)
    )
