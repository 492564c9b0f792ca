"""Cases: the items whose votes are all in and do not go together, and whether somebody has decided them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, case, cast, distinct, exists, func, or_, select

from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.store.database import Transaction
from gnomon.labelling.store.statements import HEARING, ORDINARY
from gnomon.labelling.store.tables import assignments, decisions, items, labels

PAIR = 2
"""Answers of an item that can be a case; rankings are none."""
LEFT_OPEN = "skip"
"""The outcome of a decision by which a case stays one, for others."""


def unheard(tx: Transaction, project: int, settings: ProjectSettings, annotator: int) -> list[int]:
    """The cases somebody can be given: in nobody's hands, and none that they judged or left open."""
    if (found := _cases(project, settings)) is None:
        return []
    own = assignments.alias()
    took_part = exists().where(
        own.c.item_id == items.c.id, own.c.annotator_id == annotator, own.c.state != "returned"
    )
    return list(tx.connection.execute(found.where(~_heard_now(), ~took_part)).scalars())


def count(tx: Transaction, project: int, settings: ProjectSettings) -> int:
    """How many cases there are that nobody has decided."""
    if (found := _cases(project, settings)) is None:
        return 0
    return int(tx.connection.execute(select(func.count()).select_from(found.subquery())).scalar_one())


def take(tx: Transaction, item: int, *, wait: bool) -> bool:
    """Lock an item to hear it; False where it is heard or decided, or others are at it and `wait` is off."""
    lock = select(items.c.id).where(items.c.id == item).with_for_update(skip_locked=not wait)
    if tx.connection.execute(lock).scalar_one_or_none() is None:
        return False
    free = select(items.c.id).where(items.c.id == item, ~_heard_now(), ~_decided())
    return tx.connection.execute(free).scalar_one_or_none() is not None


def votes_on(tx: Transaction, item: int) -> list[Mapping[str, Any]]:
    """What people said of an item at first sight, each with the order it was shown in, and not who."""
    query = (
        select(labels, assignments.c.shown_order)
        .join(assignments, assignments.c.id == labels.c.assignment_id)
        .where(assignments.c.item_id == item, assignments.c.pass_number == 1)
        .order_by(labels.c.id)
    )
    return [row._asdict() for row in tx.connection.execute(query)]


def decided(tx: Transaction, project: int) -> set[int]:
    """The items that somebody has decided."""
    query = select(items.c.id).where(items.c.project_id == project, _decided())
    return set(tx.connection.execute(query).scalars())


def name_of(tx: Transaction, item: int) -> str:
    """The id that an item came with."""
    return str(tx.connection.execute(select(items.c.external_id).where(items.c.id == item)).scalar_one())


def _cases(project: int, settings: ProjectSettings) -> Select[Any] | None:
    """Undecided items with all their votes that want a decision, as settings have it; None for never."""
    wanted = _wanted(settings)
    if not wanted:
        return None
    out = assignments.alias()
    being_judged = exists().where(
        out.c.item_id == items.c.id, out.c.pass_number == 1, out.c.state == "leased"
    )
    return (
        select(items.c.id)
        .join(assignments, and_(assignments.c.item_id == items.c.id, assignments.c.pass_number == 1))
        .join(labels, labels.c.assignment_id == assignments.c.id)
        .where(
            items.c.project_id == project,
            items.c.purpose == ORDINARY,
            items.c.answers == PAIR,
            items.c.taken >= settings.votes,
            ~being_judged,
            ~_decided(),
        )
        .group_by(items.c.id)
        .having(or_(*wanted))
        .order_by(items.c.id)
    )


def _wanted(settings: ProjectSettings) -> Sequence[ColumnElement[bool]]:
    """What about an item's labels makes it a case."""
    said = case(
        (labels.c.outcome == "prefer", cast(labels.c.preferred, Text)),
        (labels.c.outcome != "skip", labels.c.outcome),
    )
    wanted = []
    if settings.adjudicate != "never":
        told = labels.c.preferred if settings.adjudicate == "opposed" else said
        wanted.append(func.count(distinct(told)) > 1)
    if settings.adjudicate_flagged:
        wanted.append(func.count().filter(cast(labels.c.flags, Text).not_in(("{}", "null"))) > 0)
    return wanted


def _heard_now() -> ColumnElement[bool]:
    hearing = assignments.alias()
    return exists().where(
        hearing.c.item_id == items.c.id, hearing.c.pass_number == HEARING, hearing.c.state == "leased"
    )


def _decided() -> ColumnElement[bool]:
    hearing = assignments.alias()
    return exists().where(
        hearing.c.item_id == items.c.id,
        hearing.c.id == decisions.c.assignment_id,
        decisions.c.outcome != LEFT_OPEN,
    )
