"""Rounds of collecting a policy's pairs: how far each is, so that it goes on and adds nothing twice."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import insert, select, update

from gnomon.labelling.items import Item
from gnomon.labelling.store import projects as kept
from gnomon.labelling.store.database import Transaction
from gnomon.labelling.store.tables import projects, rounds


class Round(NamedTuple):
    """How far a round is: prompts asked, pairs that became items, and prompts skipped, by reason."""

    id: int
    asked: int
    pairs: int
    skipped: Mapping[str, int]


def begin(tx: Transaction, project: int, digest: str, about: Mapping[str, Any]) -> Round:
    """The round of this digest as far as it is, or a new one."""
    tx.connection.execute(
        select(projects.c.id).where(projects.c.id == project).with_for_update(key_share=True)
    )
    query = _rounds().where(rounds.c.project_id == project, rounds.c.digest == digest)
    if (row := tx.connection.execute(query).one_or_none()) is not None:
        return Round(*row)
    values = {"project_id": project, "digest": digest, "about": about, "created_at": tx.now}
    made = insert(rounds).values(asked=0, pairs=0, skipped={}, **values).returning(rounds.c.id)
    return Round(tx.connection.execute(made).scalar_one(), 0, 0, {})


def advance(
    tx: Transaction, project: int, before: Round, asked: int, new: Sequence[Item], skipped: Mapping[str, int]
) -> Round:
    """Add what came of the prompts up to number `asked`, and return how far the round is then.

    Where another process has taken it on meanwhile, nothing is added.
    """
    query = _rounds().where(rounds.c.id == before.id).with_for_update()
    now = Round(*tx.connection.execute(query).one())
    if now.asked != before.asked:
        return now
    if new:
        kept.add_items(tx, project, new)
    after = Round(now.id, asked, now.pairs + len(new), dict(Counter(now.skipped) + Counter(skipped)))
    values = {name: value for name, value in after._asdict().items() if name != "id"}
    tx.connection.execute(update(rounds).where(rounds.c.id == now.id).values(values))
    return after


def _rounds() -> Any:
    return select(*(rounds.c[name] for name in Round._fields))
