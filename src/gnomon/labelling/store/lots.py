"""Which open item comes next, drawn by lot, at a cost that does not grow with how many there are.

Every item has its place on a circle, its lot. A draw begins at a place chosen uniformly and takes one of the
next `NEAR` items that are open to somebody, each with the same probability. So an item is drawn with 1/NEAR
times the share of the circle from which it is among the next `NEAR`, which is the way from the NEAR-th open
item before it: exactly that is its propensity, 1/n on average over n, with a standard deviation of about
1/sqrt(NEAR) of that. Where no more than `NEAR` are open, each is drawn with the same probability.
"""

from collections.abc import Mapping
from hashlib import sha256
from random import Random
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Integer,
    Select,
    bindparam,
    select,
    union_all,
)

from gnomon.labelling.store.database import Transaction
from gnomon.labelling.store.tables import items

CIRCLE = 2**53
"""Places on the circle: as many as a float holds, so that shares of it are exact."""
NEAR = 32
"""Open items among which a draw chooses."""


class Nearest(NamedTuple):
    """The statements of a draw: the open items next to a place both ways; and beyond, where one way ends."""

    near: CompoundSelect[Any]
    all_round: CompoundSelect[Any]


class Drawn(NamedTuple):
    """An item and the probability with which it was drawn; `even` where that was the same for all."""

    item_id: int
    propensity: float
    even: bool


def lot_of(name: str) -> int:
    """The place of an item on the circle, which follows from its name alone."""
    return int.from_bytes(sha256(name.encode()).digest()[:8]) % CIRCLE


def among(is_open: ColumnElement[bool]) -> Nearest:
    """How to draw one of the items for which a condition holds; its parameters are given to each draw."""
    start: BindParameter[int] = bindparam("start")
    ahead, behind = items.c.lot >= start, items.c.lot < start
    forward, backward = (items.c.lot, items.c.id), (items.c.lot.desc(), items.c.id.desc())
    near = _first(is_open & ahead, forward), _first(is_open & behind, backward)
    beyond = _first(is_open & behind, forward), _first(is_open & ahead, backward)
    return Nearest(union_all(*near), union_all(*near, *beyond))


def draw(tx: Transaction, nearest: Nearest, given: Mapping[str, Any], rng: Random) -> Drawn | None:
    """One of the items for which a condition holds, given its parameters; None where there is none."""
    start = rng.randrange(CIRCLE)
    given = {**given, "start": start, "near": NEAR}
    found = _all(tx, nearest.near, given)
    reached = sum(lot >= start for _, lot in found)
    if (reached == NEAR) != (len(found) - reached == NEAR):
        # one way ends before the other: it goes on from the other end
        found = _all(tx, nearest.all_round, given)
    if not found:
        return None
    ring = sorted(found, key=lambda one: ((one[1] - start) % CIRCLE, one[0]))
    place = rng.randrange(min(NEAR, len(ring)))
    item, lot = ring[place]
    if len(ring) <= NEAR:
        return Drawn(item, 1 / len(ring), even=True)
    before = ring[place - NEAR][1]
    return Drawn(item, (lot - before) % CIRCLE / (NEAR * CIRCLE), even=False)


def _first(condition: ColumnElement[bool], order: tuple[Any, ...]) -> Select[Any]:
    nearest = (
        select(items.c.id, items.c.lot)
        .where(condition)
        .order_by(*order)
        .limit(bindparam("near", type_=Integer))
    )
    return select(nearest.subquery())  # SQLite orders no part of a compound but as a query of its own


def _all(tx: Transaction, parts: CompoundSelect[Any], given: Mapping[str, Any]) -> set[tuple[int, int]]:
    """Items with their lots that any of the parts has, as all of them are at one moment."""
    return {(row[0], row[1]) for row in tx.connection.execute(parts, given)}
