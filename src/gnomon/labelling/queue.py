"""Whose turn is which task: giving out, taking answers, taking them back.

What comes next is drawn in this order: the qualification round until it is over; with their rates, an own
task once more with its sides swapped, one whose answer is known, or a version of a probe; otherwise an
ordinary item, by a `Chooser`. Every draw is kept with its propensity.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random, SystemRandom
from secrets import token_hex
from typing import Any, Literal, NamedTuple, TypeVar

from gnomon.errors import DataError
from gnomon.labelling.judgement import Answer, as_answered, as_kept
from gnomon.labelling.settings import Purpose
from gnomon.labelling.store import dialogues, journal, probes, projects, votes, work
from gnomon.labelling.store.database import Store, Transaction
from gnomon.labelling.store.projects import Project
from gnomon.labelling.store.statements import Assignment
from gnomon.labelling.store.work import Draw

ATTEMPTS, PAUSE = 100, (0.005, 0.02)
"""How often, and in which range of seconds, somebody is made to wait for others who are just being served."""

Idle = Literal["done", "waiting", "empty", "not_qualified", "dialogue"]
"""Why there is no task; in a project of dialogues, tasks come of what somebody writes."""
T = TypeVar("T")


Chooser = Callable[[Sequence[int], Random], Draw]
"""Chooses one of the items that may be asked next; there is at least one."""
MOST_LEFT = 1000
"""Tasks that are counted to tell somebody how many are left."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Somebody in a project, as the queue sees them."""

    project: Project
    annotator_id: int

    @property
    def talks(self) -> bool:
        """Whether tasks come of dialogues here."""
        return self.project.settings.kind == "dialogue"


@dataclass(frozen=True, slots=True)
class Task:
    """What an annotator is shown, and nothing else: responses from left to right, no origin, no purpose."""

    token: str
    prompt: Sequence[Any]
    responses: Sequence[Any]
    guideline_version: int | None
    earlier: Answer | None = None


class Standing(NamedTuple):
    """How far somebody is: tasks answered, and about how many are left (in tens, rounded up).

    A finer number would tell which tasks were gold: those after which it stays. From `MOST_LEFT` on it is
    at least that.
    """

    done: int
    left: int


class TaskGoneError(DataError):
    """A task that its holder cannot answer any more; the message says why."""


class Choice(NamedTuple):
    """What somebody could be given: how it was drawn, with its answers in an order, in a pass; and whether it
    is one of the votes that are wanted of its item."""

    draw: Draw
    order: Sequence[int]
    pass_number: int
    counts: bool = False


def in_turn(store: Store, turn: Turn, rng: Random, attempt: Callable[[], T | None]) -> T | Literal["waiting"]:
    """What an attempt gives, made again while it gives None, since others are just being served.

    Tasks whose time ran out go back first.
    """
    with store.read() as tx:
        expired = work.anything_expired(tx, turn.project.id)
    if expired:
        with store.write() as tx:
            work.return_expired(tx, turn.project.id)
    for _ in range(ATTEMPTS):
        if (given := attempt()) is not None:
            return given
        time.sleep(rng.uniform(*PAUSE))
    return "waiting"


@contextmanager
def alone(store: Store, turn: Turn) -> Iterator[Transaction]:
    """A transaction that writes; one person's requests wait for each other in it."""
    with store.write() as tx:
        work.lock_annotator(tx, turn.annotator_id)
        yield tx


@dataclass(frozen=True)
class Queue:
    """Gives out the tasks of a store, drawn by lot or chosen by a better idea of what to ask, which is shown
    all that may be asked."""

    store: Store
    choose: Chooser | None = None
    rng: Random = field(default_factory=SystemRandom)

    def next(self, turn: Turn) -> Task | Idle:
        """The task in somebody's hands, or else a new one, or why there is none.

        It is looked for while others may write, and looked at once more when it is given.
        """

        def attempt() -> Task | Idle | None:
            refused: set[int] = set()
            while True:
                with self.store.read() as tx:
                    found = self._held(tx, turn) or self._choose(tx, turn, refused)
                if not isinstance(found, Choice):
                    return found
                with alone(self.store, turn) as tx:
                    if given := self._held(tx, turn) or _take(tx, turn, found):
                        return given
                refused.add(found.draw.item_id)

        return in_turn(self.store, turn, self.rng, attempt)

    def submit(self, turn: Turn, token: str, answer: Answer, idempotency_key: str) -> None:
        """Keep an answer, once however often it is sent; TaskGoneError where it cannot be kept, as after
        another one under the same key.

        DataError where it is none to this task.
        """
        with alone(self.store, turn) as tx:
            assignment = _own(tx, turn, token)
            kept = as_kept(answer, assignment.shown_order)
            known = votes.known(tx, assignment.id, idempotency_key)
            if known and votes.same(known, kept):
                return
            if known or assignment.state == "done":
                raise TaskGoneError("this task was answered already; undo that first")
            if assignment.state == "returned" and not _take_again(tx, assignment):
                raise TaskGoneError(
                    "this task took too long and was given to somebody else; go on with the next"
                )
            event = votes.record(tx, assignment.id, idempotency_key, kept)
            work.finish(tx, assignment, event, votes=kept["outcome"] != "skip")
            if turn.talks:
                self._go_on(tx, turn, assignment, kept)

    def undo(self, turn: Turn, token: str) -> Task:
        """Take back an answer: its task is in its holder's hands again, as it was shown.

        Undoing twice is undoing once. TaskGoneError for a task that is not somebody's own.
        """
        with alone(self.store, turn) as tx:
            assignment = _own(tx, turn, token)
            label = votes.current(tx, assignment.id)
            if label is None and assignment.state != "leased":
                raise TaskGoneError("this task took too long and went back; go on with the next")
            if label is not None:
                if why := _stays(tx, turn, assignment):
                    raise TaskGoneError(why)
                if turn.talks:
                    dialogues.take_back(tx, assignment.item_id)
                if label["outcome"] == "skip" and not _take_again(tx, assignment):
                    raise TaskGoneError(
                        "this task was skipped and then given to somebody else; go on with the next"
                    )
                votes.retract(tx, assignment.id, token_hex(16))
                work.reopen(tx, assignment, expiry(tx, turn))
                journal.note(
                    tx, "label undone", actor=turn.annotator_id, project=turn.project.id, event=label["id"]
                )
            return task_of(tx, assignment)

    def release(self, turn: Turn, token: str) -> None:
        """Give a task back unanswered, at once."""
        with self.store.write() as tx:
            assignment = _own(tx, turn, token)
            if assignment.state == "leased":
                work.give_back(tx, assignment)

    def standing(self, turn: Turn) -> Standing:
        """How far somebody is."""
        project, annotator = turn.project.id, turn.annotator_id
        with self.store.read() as tx:
            done = work.count_done(tx, project, annotator)
            if turn.talks:
                left = len(dialogues.topics(tx, project, annotator, turn.project.settings.overlap))
            else:
                left = work.count_unseen(tx, project, annotator, "ordinary", MOST_LEFT)
        return Standing(done, -(-left // 10) * 10)

    def last(self, turn: Turn) -> str | None:
        """The token of what somebody answered last, which is what an undo takes back; None where it stays."""
        with self.store.read() as tx:
            done = work.last_done(tx, turn.project.id, turn.annotator_id)
            return done.token if done and not _stays(tx, turn, done) else None

    def _held(self, tx: Transaction, turn: Turn) -> Task | None:
        held = work.held(tx, turn.project.id, turn.annotator_id)
        return task_of(tx, held) if held else None

    def _choose(self, tx: Transaction, turn: Turn, refused: Collection[int]) -> Choice | Idle | None:
        if turn.talks:
            return "dialogue"
        if exam := self._by_lot(tx, turn, "qualification", refused):
            return exam
        answered, right = work.qualification(tx, turn.project.id, turn.annotator_id)
        if answered and right < turn.project.settings.qualification_pass * answered:
            return "not_qualified"
        given = self._repeat(tx, turn) or self._gold(tx, turn, refused) or self._probe(tx, turn)
        return given or self._ordinary(tx, turn, refused)

    def _repeat(self, tx: Transaction, turn: Turn) -> Choice | None:
        settings = turn.project.settings
        if self.rng.random() >= settings.repeat_rate:
            return None
        again = work.repeatable(tx, turn.project.id, turn.annotator_id, settings.repeat_gap)
        if not again:
            return None
        item = self.rng.choice(again)
        order = work.shown_first(tx, item, turn.annotator_id)
        return Choice(Draw(item, "repeat", 1 / len(again)), list(reversed(order)), pass_number=2)

    def _gold(self, tx: Transaction, turn: Turn, refused: Collection[int]) -> Choice | None:
        if self.rng.random() >= turn.project.settings.gold_rate:
            return None
        return self._by_lot(tx, turn, "gold", refused)

    def _by_lot(
        self, tx: Transaction, turn: Turn, purpose: Purpose, refused: Collection[int]
    ) -> Choice | None:
        drawn = work.draw(tx, (turn.project.id, turn.annotator_id), purpose, self.rng, refused)
        return self._shuffled(tx, Draw(drawn.item_id, purpose, drawn.propensity)) if drawn else None

    def _probe(self, tx: Transaction, turn: Turn) -> Choice | None:
        settings = turn.project.settings
        if self.rng.random() >= settings.probe_rate:
            return None
        ready = probes.ready(tx, turn.project.id, turn.annotator_id, settings.repeat_gap)
        if not ready:
            return None
        item, order = ready[self.rng.randrange(len(ready))]
        order = order or self.rng.sample(range(2), 2)
        return Choice(Draw(item, "probe", 1 / len(ready)), order, pass_number=1)

    def _ordinary(self, tx: Transaction, turn: Turn, refused: Collection[int]) -> Choice | Idle | None:
        """An item with votes left; None where others are just being given all there are."""
        if draw := self._draw(tx, turn, refused):
            return self._shuffled(tx, draw)._replace(counts=True)
        if refused:
            return None
        if not projects.has_items(tx, turn.project.id):
            return "empty"
        return "waiting" if work.may_come_back(tx, turn.project.id, turn.annotator_id) else "done"

    def _draw(self, tx: Transaction, turn: Turn, refused: Collection[int]) -> Draw | None:
        who = (turn.project.id, turn.annotator_id)
        if self.choose is None:
            drawn = work.draw(tx, who, "ordinary", self.rng, refused)
            return (
                Draw(drawn.item_id, "uniform" if drawn.even else "lot", drawn.propensity) if drawn else None
            )
        candidates = [item for item in work.unseen(tx, *who, "ordinary") if item not in refused]
        return self.choose(candidates, self.rng) if candidates else None

    def _shuffled(self, tx: Transaction, draw: Draw) -> Choice:
        count = work.count_answers(tx, draw.item_id)
        return Choice(draw, self.rng.sample(range(count), count), pass_number=1)

    def _go_on(self, tx: Transaction, turn: Turn, assignment: Assignment, kept: Mapping[str, Any]) -> None:
        """A dialogue goes on with the answer that is preferred, or with one that is drawn."""
        place, chosen_by = kept["preferred"], "vote"
        if place is None:
            place, chosen_by = self.rng.randrange(2), "draw"
        dialogues.choose(tx, assignment.item_id, place, chosen_by, turn.project.settings.turns)


def _take(tx: Transaction, turn: Turn, choice: Choice) -> Task | None:
    """Give what was chosen; None where another request was quicker, or others are at it.

    Who waited for those with locks of one's own could wait in a circle: another is chosen instead.
    """
    item, pass_number = choice.draw.item_id, choice.pass_number
    if work.took_part(tx, item, turn.annotator_id, pass_number):
        return None
    if choice.counts and not work.reserve(tx, item, wait=False):
        return None
    return task_of(tx, give(tx, turn, choice.draw, choice.order, pass_number=pass_number))


def _stays(tx: Transaction, turn: Turn, assignment: Assignment) -> str:
    """Why an answer cannot be taken back any more; empty where it can."""
    if turn.talks and dialogues.gone_on(tx, assignment.item_id):
        return "the dialogue has gone on since; what was said before stays"
    return "the first round is over; what was said in it stays" if work.examined(tx, assignment) else ""


def _take_again(tx: Transaction, assignment: Assignment) -> bool:
    """Whether a task that had gone back can be had again by who comes late."""
    return assignment.pass_number > 1 or work.reserve(tx, assignment.item_id, wait=True)


def _own(tx: Transaction, turn: Turn, token: str) -> Assignment:
    assignment = work.of_token(tx, turn.project.id, turn.annotator_id, token)
    if assignment is None:
        raise TaskGoneError("there is no such task in your hands; go on with the next")
    return assignment


def give(tx: Transaction, turn: Turn, draw: Draw, order: Sequence[int], *, pass_number: int) -> Assignment:
    """Put what was drawn into somebody's hands, its answers in an order, under the newest guidelines."""
    return work.give(
        tx,
        draw,
        (turn.project.id, turn.annotator_id),
        order,
        pass_number=pass_number,
        guideline_version=projects.guideline_version(tx, turn.project.id),
        expires_at=expiry(tx, turn),
    )


def expiry(tx: Transaction, turn: Turn) -> int:
    """When a task that is given now goes back unless it is answered."""
    return tx.now + round(turn.project.settings.lease_minutes * 60_000)


def task_of(tx: Transaction, assignment: Assignment) -> Task:
    """What whoever holds an assignment is shown of it."""
    answers = projects.responses_of(tx, [assignment.item_id])[assignment.item_id]
    earlier = votes.retracted(tx, assignment.id)
    return Task(
        token=assignment.token,
        prompt=work.content(tx, assignment.item_id),
        responses=[answers[place][0] for place in assignment.shown_order],
        guideline_version=assignment.guideline_version,
        earlier=as_answered(earlier, assignment.shown_order) if earlier else None,
    )
