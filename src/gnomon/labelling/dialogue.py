"""Dialogues as those who lead them see them: they write, the model answers twice, they judge, it goes on.

The pair that answers a message is a task like any other, with its vote, its draft and its undo: `Queue` takes
those. Here is what is between the tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Any, Literal

from gnomon.errors import ConfigError, DataError
from gnomon.labelling.partner import Partner
from gnomon.labelling.queue import Task, TaskGoneError, Turn, alone, expiry, in_turn, task_of
from gnomon.labelling.settings import LONGEST_MESSAGE
from gnomon.labelling.store import dialogues, work
from gnomon.labelling.store.database import Store, Transaction
from gnomon.labelling.store.dialogues import Dialogue, Exchange

State = Literal["write", "sampling", "slow", "failed", "judge"]
"""Whose turn it is: the person's, to write (anew, where there was no answer) or to judge, or the model's."""
Rest = Literal["done", "waiting", "no_model"]
SEEDS = 2**32


@dataclass(frozen=True, slots=True)
class Talk:
    """A dialogue as whoever leads it sees it, and nothing on which model answers, or with what seed.

    `task` is there to be judged; `draft` is what was written and found no answers; so many messages more may
    be written.
    """

    token: str
    topic: Sequence[Any] | None
    messages: Sequence[Any]
    state: State
    task: Task | None
    draft: str
    left: int


class NoModelError(ConfigError):
    """Nobody answers: the server was started without a model."""

    def __init__(self) -> None:
        super().__init__(
            "no model is connected to this server; whoever runs it starts it with one: gnomon label serve "
            "--model MODEL, or --endpoint URL --endpoint-model NAME"
        )


@dataclass(frozen=True)
class Dialogues:
    """The dialogues of a store, with a partner if the server has one."""

    store: Store
    partner: Partner | None = None
    rng: Random = field(default_factory=SystemRandom)

    def next(self, turn: Turn) -> Talk | Rest:
        """The dialogue somebody is in, or else a new one, or why there is none."""
        _refuse_others(turn)

        def attempt() -> Talk | Rest | None:
            with alone(self.store, turn) as tx:
                found = dialogues.current(tx, turn.project.id, turn.annotator_id) or self._begin(tx, turn)
                if not isinstance(found, Dialogue):
                    return found
                dialogues.renew(tx, found, expiry(tx, turn))
                talk = self._talk(tx, turn, found)
                return talk if self.partner or talk.state == "judge" else "no_model"

        return in_turn(self.store, turn, self.rng, attempt)

    def state(self, turn: Turn) -> State | None:
        """Whose turn it is in somebody's dialogue; looking changes nothing."""
        with self.store.read() as tx:
            found = dialogues.current(tx, turn.project.id, turn.annotator_id)
            return self._state(tx, dialogues.exchanges_of(tx, found)) if found else None

    def say(self, turn: Turn, token: str, message: str, key: str) -> Talk:
        """Have a message answered, once however often it is sent under one key.

        NoModelError where nobody would, TaskGoneError where it is not the person's turn to write, DataError
        for a message that is empty or too long.
        """
        _refuse_others(turn)
        if self.partner is None:
            raise NoModelError
        written = _written(message)
        with alone(self.store, turn) as tx:
            found = _own(tx, turn, token)
            said = dialogues.exchanges_of(tx, found)
            known = [one.message for one in said if one.idempotency_key == key]
            if not known:
                self._ask(tx, found, said, written, key)
                dialogues.renew(tx, found, expiry(tx, turn))
            elif known != [written]:
                raise TaskGoneError("another message was sent already; go on with what became of it")
            return self._talk(tx, turn, found)

    def end(self, turn: Turn, token: str) -> None:
        """End a dialogue; a pair that waits to be judged is left."""
        _refuse_others(turn)
        with alone(self.store, turn) as tx:
            found = _own(tx, turn, token)
            for item in [one.item_id for one in dialogues.exchanges_of(tx, found) if one.item_id is not None]:
                assignment = work.of_item(tx, item, turn.annotator_id)
                if assignment.state == "leased":
                    work.give_back(tx, assignment)
            dialogues.end(tx, found)

    def _begin(self, tx: Transaction, turn: Turn) -> Dialogue | Rest | None:
        """A new dialogue, about a topic where there are any; None where others are just taking all left."""
        if self.partner is None:
            return "no_model"
        holder, overlap = (turn.project.id, turn.annotator_id), turn.project.settings.overlap
        if not dialogues.has_topics(tx, turn.project.id):
            return dialogues.begin(tx, holder, None, 1.0, expiry(tx, turn))
        topics = dialogues.topics(tx, *holder, overlap)
        contested = bool(topics)
        while topics:
            topic = self.rng.choice(topics)
            if dialogues.take_topic(tx, topic, overlap):
                return dialogues.begin(tx, holder, topic, 1 / len(topics), expiry(tx, turn))
            topics.remove(topic)
        return None if contested else "done"

    def _ask(
        self, tx: Transaction, found: Dialogue, said: Sequence[Exchange], message: str, key: str
    ) -> None:
        state = self._state(tx, said)
        if found.state != "open" or state not in ("write", "failed"):
            raise TaskGoneError("this dialogue does not wait for a message; go on with what it waits for")
        number = said[-1].number if state == "failed" else len(said)
        dialogues.ask(tx, found, number, message, key, self.rng.randrange(SEEDS))

    def _state(self, tx: Transaction, said: Sequence[Exchange]) -> State:
        last = said[-1] if said else None
        if last is None or last.goes_on is not None:
            return "write"
        if last.state == "sampling":
            timeout = self.partner.timeout if self.partner else 0.0
            return "slow" if tx.now - last.asked_at > 1000 * timeout else "sampling"
        return "failed" if last.state == "failed" else "judge"

    def _talk(self, tx: Transaction, turn: Turn, found: Dialogue) -> Talk:
        said = dialogues.exchanges_of(tx, found)
        state = self._state(tx, said)
        heard = said[:-1] if state == "failed" else said
        return Talk(
            token=found.token,
            topic=work.content(tx, found.topic_id) if found.topic_id is not None else None,
            messages=dialogues.messages(tx, heard),
            state=state,
            task=_pair(tx, turn, said[-1]) if state == "judge" else None,
            draft=said[-1].message if state == "failed" else "",
            left=max(0, turn.project.settings.turns - len(heard)),
        )


def _pair(tx: Transaction, turn: Turn, answered: Exchange) -> Task:
    """The answers to a message, in their reader's hands, again where it took too long to judge them."""
    assert answered.item_id is not None
    assignment = work.of_item(tx, answered.item_id, turn.annotator_id)
    if assignment.state == "returned":
        work.reserve(tx, answered.item_id, wait=True)
    work.reopen(tx, assignment, expiry(tx, turn))
    return task_of(tx, assignment)


def _own(tx: Transaction, turn: Turn, token: str) -> Dialogue:
    found = dialogues.of_token(tx, turn.project.id, turn.annotator_id, token)
    if found is None:
        raise TaskGoneError("you have no such dialogue; go on with the one you are in")
    return found


def _refuse_others(turn: Turn) -> None:
    if not turn.talks:
        raise DataError(f"there are no dialogues in {turn.project.slug}; answers are judged here")


def _written(message: str) -> str:
    """A message as it is kept: no carriage returns of forms, nothing that is no text."""
    text = message.replace("\r\n", "\n").replace("\x00", "").encode("utf-8", "ignore").decode().strip()
    if not text:
        raise DataError("the message is empty; write something")
    if len(text) > LONGEST_MESSAGE:
        raise DataError(f"the message has {len(text)} characters; {LONGEST_MESSAGE} are the most")
    return text
