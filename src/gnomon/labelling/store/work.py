"""Assignments: which items could be given to somebody, giving them, and taking them back."""

import secrets
from collections.abc import Collection, Sequence
from random import Random
from typing import Any, NamedTuple

from sqlalchemy import and_, exists, select, update

from gnomon.labelling.settings import Purpose
from gnomon.labelling.store import lots, outbox, statements
from gnomon.labelling.store.database import Transaction
from gnomon.labelling.store.lots import Drawn
from gnomon.labelling.store.statements import ORDINARY, Assignment
from gnomon.labelling.store.tables import OPEN, annotators, assignments, events, items


class Draw(NamedTuple):
    """Which item comes next and how it was drawn; both are kept with the assignment."""

    item_id: int
    chosen_by: str
    propensity: float


def lock_annotator(tx: Transaction, annotator: int) -> None:
    """Let one person's requests wait for each other, as all that write do on SQLite."""
    if tx.connection.dialect.name == "sqlite":
        return
    tx.connection.execute(select(annotators.c.id).where(annotators.c.id == annotator).with_for_update())


def anything_expired(tx: Transaction, project: int) -> bool:
    """Whether `return_expired` would find something."""
    return bool(statements.any_expired(tx, project, tx.now).scalar())


def return_expired(tx: Transaction, project: int) -> int:
    """Take back the assignments whose lease ran out, so that others can be asked; how many there were."""
    query = (
        select(assignments.c.id, assignments.c.item_id, assignments.c.pass_number)
        .where(statements.expired(project, tx.now))
        .order_by(assignments.c.item_id)
        .with_for_update(skip_locked=True)
    )
    expired = tx.connection.execute(query).all()
    for assignment, item, pass_number in expired:
        statements.set_state(tx, assignment, "returned")
        if pass_number == 1:
            statements.shift_taken(tx, item, -1)
    return len(expired)


def give_back(tx: Transaction, assignment: Assignment) -> None:
    """Take back what its holder does not want to answer now."""
    statements.set_state(tx, assignment.id, "returned")
    if assignment.pass_number == 1:
        statements.shift_taken(tx, assignment.item_id, -1)


def held(tx: Transaction, project: int, annotator: int, *, hearing: bool = False) -> Assignment | None:
    """What somebody has been given to judge, or to decide, and not answered yet, the oldest first."""
    row = statements.held(tx, project, annotator, tx.now, hearing=hearing).one_or_none()
    return Assignment(*row) if row else None


def of_token(
    tx: Transaction, project: int, annotator: int, token: str, *, hearing: bool = False
) -> Assignment | None:
    """Somebody's own assignment in a project, locked until the transaction ends; None for any other token."""
    row = statements.of_token(tx, project, annotator, token, hearing=hearing).one_or_none()
    return Assignment(*row) if row else None


def of_item(tx: Transaction, item: int, annotator: int) -> Assignment:
    """Somebody's first judgement of an item, given or to be given."""
    query = select(*statements.COLUMNS).where(
        assignments.c.item_id == item,
        assignments.c.annotator_id == annotator,
        assignments.c.pass_number == 1,
    )
    return Assignment(*tx.connection.execute(query).one())


def draw(
    tx: Transaction,
    who: tuple[int, int],
    purpose: Purpose,
    rng: Random,
    refused: Collection[int] = (),
) -> Drawn | None:
    """One of the items of a purpose that somebody (project, annotator) can be asked, but for some."""
    project, annotator = who
    given = {"project": project, "annotator": annotator, "purpose": purpose, "refused": list(refused)}
    return lots.draw(tx, statements.NEAREST, given, rng)


def unseen(tx: Transaction, project: int, annotator: int, purpose: Purpose) -> list[int]:
    """All items of a purpose that somebody can be asked."""
    query = select(items.c.id).where(statements.open_to(project, annotator, purpose))
    return list(tx.connection.execute(query.order_by(items.c.id)).scalars().all())


def count_unseen(tx: Transaction, project: int, annotator: int, purpose: Purpose, most: int) -> int:
    """How many `unseen` would give; `most` where it is more than that."""
    return int(statements.count_unseen(tx, project, annotator, purpose, most).scalar_one())


def may_come_back(tx: Transaction, project: int, annotator: int) -> bool:
    """Whether others hold an ordinary item that somebody could still be asked about."""
    out = assignments.alias()
    held = and_(out.c.project_id == project, out.c.state == "leased", out.c.expires_at > tx.now)
    theirs = and_(held, out.c.pass_number == 1)
    could = and_(items.c.id == out.c.item_id, items.c.purpose == ORDINARY, ~statements.took_part(annotator))
    return bool(tx.connection.execute(select(exists().where(theirs, could))).scalar())


def answered_before(tx: Transaction, project: int, annotator: int, gap: int) -> int | None:
    """The newest answer (its event) that somebody gave at least `gap` tasks ago; None where there is none."""
    newest = (
        select(assignments.c.answered_by)
        .where(statements.first_judged(project, annotator))
        .order_by(assignments.c.answered_by.desc())
    )
    found: int | None = tx.connection.execute(newest.offset(gap).limit(1)).scalar_one_or_none()
    return found


def repeatable(tx: Transaction, project: int, annotator: int, gap: int) -> list[int]:
    """Ordinary items somebody judged at least `gap` tasks ago and only once, as they were judged."""
    until = answered_before(tx, project, annotator, gap)
    if until is None:
        return []
    again = assignments.alias()
    repeated = exists().where(
        again.c.item_id == assignments.c.item_id,
        again.c.annotator_id == annotator,
        again.c.pass_number > 1,
    )
    query = (
        select(assignments.c.item_id)
        .join(events, events.c.id == assignments.c.answered_by)
        .join(items, items.c.id == assignments.c.item_id)
        .where(statements.first_judged(project, annotator), assignments.c.answered_by <= until, ~repeated)
        .where(items.c.purpose == ORDINARY, events.c.outcome != "skip")
        .order_by(assignments.c.answered_by)
    )
    return list(tx.connection.execute(query).scalars())


def took_part(tx: Transaction, item: int, annotator: int, pass_number: int) -> bool:
    """Whether somebody cannot be given an item in a pass, as they hold it there or have answered it.

    A first judgement comes after no hearing, a hearing after no judgement, a repeat once.
    """
    return bool(statements.takes_part(tx, item, annotator, pass_number=pass_number).scalar())


def shown_first(tx: Transaction, item: int, annotator: int) -> Sequence[int]:
    """The order in which somebody was shown an item's responses the first time."""
    query = select(assignments.c.shown_order).where(
        assignments.c.item_id == item,
        assignments.c.annotator_id == annotator,
        assignments.c.pass_number == 1,
    )
    found: Sequence[int] = tx.connection.execute(query).scalar_one()
    return found


def qualification(tx: Transaction, project: int, annotator: int) -> tuple[int, int]:
    """How many items of the qualification round somebody answered, and how many of them as expected."""
    answered, right = statements.qualification(tx, project, annotator).one()
    return int(answered), int(right)


def examined(tx: Transaction, assignment: Assignment) -> bool:
    """Whether an item is of the qualification round, and its holder has answered all that is in it."""
    purpose = select(items.c.purpose).where(items.c.id == assignment.item_id)
    if tx.connection.execute(purpose).scalar_one() != "qualification":
        return False
    project, annotator = assignment.project_id, assignment.annotator_id
    own = exists().where(assignments.c.item_id == items.c.id, statements.first_judged(project, annotator))
    left = and_(items.c.project_id == project, items.c.purpose == "qualification", OPEN, ~own)
    return not tx.connection.execute(select(exists().where(left))).scalar()


def reserve(tx: Transaction, item: int, *, wait: bool) -> bool:
    """Take one of an item's votes; False where all are taken, or others are at it and `wait` is off."""
    wanted = statements.wanted(tx, item, wait=wait).scalar_one_or_none()
    if wanted is None or wanted <= 0:
        return False
    statements.shift_taken(tx, item, 1)
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
    same = {"of_item": draw.item_id, "of_annotator": annotator, "of_pass": pass_number}
    if (row := tx.connection.execute(statements.GIVE_AGAIN, values | same).one_or_none()) is None:
        values |= {"project_id": project, "item_id": draw.item_id, "annotator_id": annotator}
        row = tx.connection.execute(statements.GIVE, values | {"pass_number": pass_number}).one()
    return Assignment(*row)


def finish(tx: Transaction, assignment: Assignment, event: int, *, votes: bool) -> None:
    """Mark as answered by an event; a skip does not count as a vote, so that somebody else is asked.

    Repeats and decisions are no votes, whatever was said.
    """
    statements.answered(tx, assignment.id, event)
    if assignment.pass_number != 1:
        return
    if votes:
        outbox.note_vote(tx, assignment.project_id, assignment.item_id)
    else:
        statements.shift_taken(tx, assignment.item_id, -1)


def reopen(tx: Transaction, assignment: Assignment, expires_at: int) -> None:
    """Put back into its holder's hands what was answered."""
    tx.connection.execute(
        update(assignments)
        .where(assignments.c.id == assignment.id)
        .values(state="leased", expires_at=expires_at)
    )


def count_answers(tx: Transaction, item: int) -> int:
    """How many answers an item has."""
    return int(statements.of_item(tx, item, column="answers").scalar_one())


def content(tx: Transaction, item: int) -> Any:
    """The prompt of an item."""
    return statements.of_item(tx, item, column="prompt").scalar_one()


def last_done(tx: Transaction, project: int, annotator: int, *, hearing: bool = False) -> Assignment | None:
    """What somebody judged, or decided, last."""
    row = statements.last_done(tx, project, annotator, hearing=hearing).one_or_none()
    return Assignment(*row) if row else None


def count_done(tx: Transaction, project: int, annotator: int, *, hearing: bool = False) -> int:
    """How many tasks somebody judged, or decided."""
    return int(statements.count_done(tx, project, annotator, hearing=hearing).scalar_one())
