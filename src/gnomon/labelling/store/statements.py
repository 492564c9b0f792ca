"""What is asked of assignments again and again, each built once, and the conditions that it is built of."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Executable, Select, and_, exists, func, insert, or_, select, update
from sqlalchemy import bindparam as given

from gnomon.labelling.settings import Purpose
from gnomon.labelling.store import lots
from gnomon.labelling.store.prepared import prepared
from gnomon.labelling.store.tables import OPEN, assignments, items, labels

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


COLUMNS = tuple(assignments.c[name] for name in Assignment._fields)
GIVE = insert(assignments).returning(*COLUMNS)
GIVE_AGAIN = (
    update(assignments)
    .where(
        assignments.c.item_id == given("of_item"),
        assignments.c.annotator_id == given("of_annotator"),
        assignments.c.pass_number == given("of_pass"),
    )
    .returning(*COLUMNS)
)
"""An assignment that had been returned, by its item, annotator and pass."""


def open_to(project: Any, annotator: Any, purpose: Any) -> ColumnElement[bool]:
    """Items that want votes, and that somebody does not hold and has not answered."""
    wanting = and_(items.c.project_id == project, items.c.purpose == purpose, OPEN)
    return and_(wanting, ~took_part(annotator))


def took_part(annotator: Any) -> ColumnElement[bool]:
    """Whether somebody holds or has answered an item, or was ever shown what others said of it."""
    return exists().where(
        assignments.c.item_id == items.c.id, assignments.c.annotator_id == annotator, _part()
    )


def first_judged(project: Any, annotator: Any) -> ColumnElement[bool]:
    """What somebody judged for the first time."""
    return and_(
        assignments.c.project_id == project,
        assignments.c.annotator_id == annotator,
        assignments.c.state == "done",
        assignments.c.pass_number == 1,
    )


def expired(project: Any, now: Any) -> ColumnElement[bool]:
    """What was not answered in time."""
    return and_(
        assignments.c.state == "leased",
        assignments.c.expires_at <= now,
        assignments.c.project_id == project,
    )


@prepared
def any_expired(project: int, now: int) -> Executable:
    """Whether anything in a project was not answered in time."""
    return select(exists().where(expired(project, now)))


@prepared
def held(project: int, annotator: int, now: int, *, hearing: bool) -> Executable:
    """The oldest assignment in somebody's hands."""
    own = _assignments(project, annotator, "leased", hearing=hearing)
    return own.where(assignments.c.expires_at > now).order_by(assignments.c.id).limit(1)


@prepared
def of_token(project: int, annotator: int, token: str, *, hearing: bool) -> Executable:
    """Somebody's own assignment, locked."""
    own = and_(assignments.c.project_id == project, assignments.c.annotator_id == annotator)
    found = select(*COLUMNS).where(own, assignments.c.token == token, _is_hearing(hearing=hearing))
    return found.with_for_update()


@prepared
def last_done(project: int, annotator: int, *, hearing: bool) -> Executable:
    """The assignment that somebody answered last."""
    own = _assignments(project, annotator, "done", hearing=hearing)
    return own.order_by(assignments.c.answered_by.desc()).limit(1)


@prepared
def count_done(project: int, annotator: int, *, hearing: bool) -> Executable:
    """How many assignments somebody answered."""
    return _assignments(project, annotator, "done", hearing=hearing).with_only_columns(func.count())


@prepared
def count_unseen(project: int, annotator: int, purpose: Purpose, most: int) -> Executable:
    """How many items are open to somebody, up to so many."""
    found = select(items.c.id).where(open_to(project, annotator, purpose)).limit(most)
    return select(func.count()).select_from(found.subquery())


@prepared
def takes_part(item: int, annotator: int, *, pass_number: int) -> Executable:
    """Whether somebody cannot be given an item in a pass."""
    part = {HEARING: assignments.c.state != "returned", 1: _part()}
    own = and_(assignments.c.item_id == item, assignments.c.annotator_id == annotator)
    return select(exists().where(own, part.get(pass_number, assignments.c.pass_number == pass_number)))


@prepared
def qualification(project: int, annotator: int) -> Executable:
    """How many items of the qualification round somebody answered, and how many as expected."""
    return (
        select(func.count(), func.count().filter(labels.c.preferred == items.c.expected))
        .select_from(items)
        .join(assignments, assignments.c.item_id == items.c.id)
        .join(labels, labels.c.assignment_id == assignments.c.id)
        .where(
            items.c.project_id == project,
            items.c.purpose == "qualification",
            assignments.c.annotator_id == annotator,
        )
    )


@prepared
def of_item(item: int, *, column: str) -> Executable:
    """What a column has of an item."""
    return select(items.c[column]).where(items.c.id == item)


@prepared
def wanted(item: int, *, wait: bool) -> Executable:
    """How many votes an item wants, locked; no row where others hold it and `wait` is off."""
    return select(items.c.wanted).where(items.c.id == item).with_for_update(skip_locked=not wait)


@prepared
def shift_taken(item: int, by: int) -> Executable:
    """Only ordinary items have a limited number of votes; the others are asked of everybody."""
    taken = update(items).where(items.c.id == item, items.c.purpose == ORDINARY)
    return taken.values(taken=items.c.taken + by, wanted=items.c.wanted - by)


@prepared
def set_state(assignment: int, state: str) -> Executable:
    """An assignment goes on or back."""
    return update(assignments).where(assignments.c.id == assignment).values(state=state)


@prepared
def answered(assignment: int, event: int) -> Executable:
    """An assignment was answered by an event."""
    same = assignments.c.id == assignment
    return update(assignments).where(same).values(state="done", answered_by=event)


def _assignments(project: int, annotator: int, state: str, *, hearing: bool) -> Select[Any]:
    return select(*COLUMNS).where(
        assignments.c.project_id == project,
        assignments.c.annotator_id == annotator,
        assignments.c.state == state,
        _is_hearing(hearing=hearing),
    )


def _part() -> ColumnElement[bool]:
    """What keeps an item from being somebody's to judge."""
    return or_(assignments.c.state != "returned", _is_hearing(hearing=True))


def _is_hearing(*, hearing: bool) -> ColumnElement[bool]:
    return assignments.c.pass_number == HEARING if hearing else assignments.c.pass_number > HEARING


NEAREST = lots.among(
    open_to(given("project"), given("annotator"), given("purpose"))
    & items.c.id.not_in(given("refused", expanding=True))
)
"""How to draw one of the items that are open to somebody, but for some."""
