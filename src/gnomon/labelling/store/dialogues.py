"""Dialogues: who talks about what, what was written, and with which answers it goes on."""

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, exists, func, insert, or_, select, update

from gnomon.labelling.store import projects
from gnomon.labelling.store.database import Transaction
from gnomon.labelling.store.tables import dialogues, exchanges, items

TOPIC = "topic"


class Dialogue(NamedTuple):
    """Somebody's dialogue; `propensity` is the probability with which its topic was drawn, 1 without one."""

    id: int
    token: str
    project_id: int
    annotator_id: int
    topic_id: int | None
    propensity: float
    state: str


class Exchange(NamedTuple):
    """A message and, once it is answered, the item of its two answers and the place of that which goes on."""

    id: int
    dialogue_id: int
    number: int
    message: str
    idempotency_key: str
    seed: int
    state: str
    asked_at: int
    item_id: int | None
    goes_on: int | None
    chosen_by: str | None


def current(tx: Transaction, project: int, annotator: int) -> Dialogue | None:
    """The dialogue somebody is in, the oldest first: one that an undo opened again comes before its next."""
    query = _dialogues().where(
        dialogues.c.project_id == project, dialogues.c.annotator_id == annotator, dialogues.c.state == "open"
    )
    row = tx.connection.execute(query.order_by(dialogues.c.id).limit(1)).one_or_none()
    return Dialogue(*row) if row else None


def of_token(tx: Transaction, project: int, annotator: int, token: str) -> Dialogue | None:
    """Somebody's own dialogue in a project; None for any other token."""
    query = _dialogues().where(
        dialogues.c.token == token,
        dialogues.c.project_id == project,
        dialogues.c.annotator_id == annotator,
    )
    row = tx.connection.execute(query).one_or_none()
    return Dialogue(*row) if row else None


def begin(
    tx: Transaction, holder: tuple[int, int], topic: int | None, propensity: float, expires_at: int
) -> Dialogue:
    """A new dialogue of a holder (project, annotator)."""
    values = {
        "token": secrets.token_urlsafe(16),
        "project_id": holder[0],
        "annotator_id": holder[1],
        "topic_id": topic,
        "propensity": propensity,
        "state": "open",
        "created_at": tx.now,
        "expires_at": expires_at,
    }
    columns = [dialogues.c[name] for name in Dialogue._fields]
    return Dialogue(*tx.connection.execute(insert(dialogues).values(values).returning(*columns)).one())


def renew(tx: Transaction, dialogue: Dialogue, expires_at: int) -> None:
    """Leave the topic with its holder for longer."""
    _set(tx, dialogue.id, expires_at=expires_at)


def end(tx: Transaction, dialogue: Dialogue) -> None:
    """Let nothing more be said."""
    _set(tx, dialogue.id, state="ended")


def exchanges_of(tx: Transaction, dialogue: Dialogue) -> list[Exchange]:
    """What was said in a dialogue, in order."""
    query = _exchanges().where(exchanges.c.dialogue_id == dialogue.id).order_by(exchanges.c.number)
    return [Exchange(*row) for row in tx.connection.execute(query)]


def messages(tx: Transaction, said: Sequence[Exchange]) -> list[Any]:
    """The dialogue so far: each message, and after it the answer that it goes on with, where there is one."""
    found = projects.responses_of(tx, [one.item_id for one in said if one.item_id is not None])
    turns: list[Any] = []
    for one in said:
        turns.append({"role": "user", "content": one.message})
        if one.item_id is not None and one.goes_on is not None:
            turns += found[one.item_id][one.goes_on][0]
    return turns


def ask(tx: Transaction, dialogue: Dialogue, number: int, message: str, key: str, seed: int) -> None:
    """Have a message answered; one that failed under this number gives way to it."""
    values = {"message": message, "idempotency_key": key, "seed": seed}
    values |= {"state": "sampling", "asked_at": tx.now}
    same = and_(exchanges.c.dialogue_id == dialogue.id, exchanges.c.number == number)
    if not tx.connection.execute(update(exchanges).where(same).values(values)).rowcount:
        values |= {"dialogue_id": dialogue.id, "number": number}
        tx.connection.execute(insert(exchanges).values(values))


def waiting(tx: Transaction) -> tuple[Dialogue, Exchange] | None:
    """The message that has waited longest for its answers."""
    query = (
        select(exchanges.c.id, exchanges.c.dialogue_id)
        .join(dialogues, dialogues.c.id == exchanges.c.dialogue_id)
        .where(exchanges.c.state == "sampling", dialogues.c.state == "open")
        .order_by(exchanges.c.asked_at, exchanges.c.id)
        .limit(1)
    )
    if (found := tx.connection.execute(query).one_or_none()) is None:
        return None
    dialogue = tx.connection.execute(_dialogues().where(dialogues.c.id == found.dialogue_id)).one()
    exchange = tx.connection.execute(_exchanges().where(exchanges.c.id == found.id)).one()
    return Dialogue(*dialogue), Exchange(*exchange)


def settle(tx: Transaction, asked: Exchange, state: str) -> bool:
    """Mark a message as answered or failed; False where it is no longer waited for as it was asked."""
    same = and_(exchanges.c.id == asked.id, exchanges.c.state == "sampling", exchanges.c.seed == asked.seed)
    open_ = exists().where(dialogues.c.id == exchanges.c.dialogue_id, dialogues.c.state == "open")
    return bool(tx.connection.execute(update(exchanges).where(same, open_).values(state=state)).rowcount)


def add_answers(tx: Transaction, asked: Exchange, item: int) -> None:
    """Which item the answers to a message are."""
    tx.connection.execute(update(exchanges).where(exchanges.c.id == asked.id).values(item_id=item))


def choose(tx: Transaction, item: int, place: int, chosen_by: str, most: int) -> None:
    """Go on with one of an item's answers; a dialogue of so many messages as there may be ends."""
    chosen = update(exchanges).where(exchanges.c.item_id == item)
    returned = chosen.values(goes_on=place, chosen_by=chosen_by).returning(
        exchanges.c.dialogue_id, exchanges.c.number
    )
    dialogue, number = tx.connection.execute(returned).one()
    if number + 1 >= most:
        _set(tx, dialogue, state="ended")


def take_back(tx: Transaction, item: int) -> None:
    """Let an item's answers wait for a choice again; their dialogue is open."""
    undone = update(exchanges).where(exchanges.c.item_id == item).values(goes_on=None, chosen_by=None)
    dialogue = tx.connection.execute(undone.returning(exchanges.c.dialogue_id)).scalar_one()
    _set(tx, dialogue, state="open")


def gone_on(tx: Transaction, item: int) -> bool:
    """Whether more was said after an item's answers."""
    here, later = exchanges.alias(), exchanges.alias()
    said = exists().where(
        here.c.item_id == item, later.c.dialogue_id == here.c.dialogue_id, later.c.number > here.c.number
    )
    return bool(tx.connection.execute(select(said)).scalar())


def topics(tx: Transaction, project: int, annotator: int, overlap: int) -> list[int]:
    """Topics that somebody has not talked about, and fewer than `overlap` people have or do."""
    own = exists().where(dialogues.c.topic_id == items.c.id, dialogues.c.annotator_id == annotator)
    taken = (
        select(func.count())
        .where(dialogues.c.topic_id == items.c.id, _in_use(tx))
        .correlate(items)
        .scalar_subquery()
    )
    query = select(items.c.id).where(_topics(project), ~own, taken < overlap).order_by(items.c.id)
    return list(tx.connection.execute(query).scalars())


def has_topics(tx: Transaction, project: int) -> bool:
    """Whether dialogues have topics here."""
    return bool(tx.connection.execute(select(exists().where(_topics(project)))).scalar())


def take_topic(tx: Transaction, topic: int, overlap: int) -> bool:
    """Lock a topic to begin a dialogue; False where it is all taken, or others are just at it."""
    lock = select(items.c.id).where(items.c.id == topic).with_for_update(skip_locked=True)
    if tx.connection.execute(lock).scalar_one_or_none() is None:
        return False
    taken = select(func.count()).select_from(dialogues).where(dialogues.c.topic_id == topic, _in_use(tx))
    return int(tx.connection.execute(taken).scalar_one()) < overlap


def _topics(project: int) -> ColumnElement[bool]:
    return and_(items.c.project_id == project, items.c.purpose == TOPIC)


def _in_use(tx: Transaction) -> ColumnElement[bool]:
    """Whether a dialogue keeps its topic from others: it has come to something, or still may."""
    answered = exists().where(exchanges.c.dialogue_id == dialogues.c.id, exchanges.c.state == "answered")
    return or_(and_(dialogues.c.state == "open", dialogues.c.expires_at > tx.now), answered)


def _dialogues() -> Any:
    return select(*(dialogues.c[name] for name in Dialogue._fields))


def _exchanges() -> Any:
    return select(*(exchanges.c[name] for name in Exchange._fields))


def _set(tx: Transaction, dialogue: int, **values: Any) -> None:
    tx.connection.execute(update(dialogues).where(dialogues.c.id == dialogue).values(values))
