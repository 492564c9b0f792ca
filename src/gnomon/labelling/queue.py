"""Whose turn is which task: giving out, taking answers, taking them back.

What comes next is drawn in this order: the qualification round until it is over; with their rates, an own
task once more with its sides swapped, one whose answer is known, or a version of a probe; otherwise an
ordinary item, by a `Chooser`. Every draw is kept with its propensity.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random, SystemRandom
from secrets import token_hex
from typing import Any, Literal, NamedTuple, TypeVar

from gnomon.errors import DataError
from gnomon.labelling.judgement import Answer, as_answered, as_kept
from gnomon.labelling.settings import Purpose
from gnomon.labelling.store import journal, probes, projects, votes, work
from gnomon.labelling.store.database import Store, Transaction
from gnomon.labelling.store.projects import Project
from gnomon.labelling.store.work import Assignment, Draw

ATTEMPTS, PAUSE = 100, (0.005, 0.02)
"""How often, and in which range of seconds, somebody is made to wait for others who are just being served."""

Idle = Literal["done", "waiting", "empty", "not_qualified"]
T = TypeVar("T")


Chooser = Callable[[Sequence[int], Random], Draw]
"""Chooses one of the items that may be asked next; there is at least one."""


def uniform(candidates: Sequence[int], rng: Random) -> Draw:
    """Each of the candidates with the same probability."""
    return Draw(rng.choice(candidates), "uniform", 1 / len(candidates))


@dataclass(frozen=True, slots=True)
class Turn:
    """Somebody in a project, as the queue sees them."""

    project: Project
    annotator_id: int


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

    A finer number would tell which tasks were gold: those after which it stays.
    """

    done: int
    left: int


class TaskGoneError(DataError):
    """A task that its holder cannot answer any more; the message says why."""


def in_turn(
    store: Store, turn: Turn, rng: Random, attempt: Callable[[Transaction], T | None]
) -> T | Literal["waiting"]:
    """What an attempt gives, made again while it gives None, since others are just being served.

    Tasks whose time ran out go back first; one person's requests wait for each other.
    """
    with store.read() as tx:
        expired = work.anything_expired(tx, turn.project.id)
    if expired:
        with store.write() as tx:
            work.return_expired(tx, turn.project.id)
    for _ in range(ATTEMPTS):
        with store.write() as tx:
            work.lock_annotator(tx, turn.annotator_id)
            given = attempt(tx)
        if given is not None:
            return given
        time.sleep(rng.uniform(*PAUSE))
    return "waiting"


@dataclass(frozen=True)
class Queue:
    """Gives out the tasks of a store. `choose` can be replaced by a better idea of what to ask."""

    store: Store
    choose: Chooser = uniform
    rng: Random = field(default_factory=SystemRandom)

    def next(self, turn: Turn) -> Task | Idle:
        """The task in somebody's hands, or else a new one, or why there is none."""

        def attempt(tx: Transaction) -> Task | Idle | None:
            given = work.held(tx, turn.project.id, turn.annotator_id) or self._draw(tx, turn)
            return _task(tx, given) if isinstance(given, Assignment) else given

        return in_turn(self.store, turn, self.rng, attempt)

    def submit(self, turn: Turn, token: str, answer: Answer, idempotency_key: str) -> None:
        """Keep an answer, once however often it is sent; TaskGoneError where it cannot be kept.

        DataError where it is none to this task.
        """
        with self.store.write() as tx:
            work.lock_annotator(tx, turn.annotator_id)
            assignment = _own(tx, turn, token)
            if votes.known(tx, assignment.id, idempotency_key):
                return
            if assignment.state == "done":
                raise TaskGoneError("this task was answered already; undo that first")
            if assignment.state == "returned" and not self._take_again(tx, turn, assignment):
                raise TaskGoneError(
                    "this task took too long and was given to somebody else; go on with the next"
                )
            kept = as_kept(answer, assignment.shown_order)
            votes.record(tx, assignment.id, idempotency_key, kept)
            work.finish(tx, assignment, votes=kept["outcome"] != "skip")

    def undo(self, turn: Turn, token: str) -> Task:
        """Take back an answer: its task is in its holder's hands again, as it was shown.

        Undoing twice is undoing once. TaskGoneError for a task that is not somebody's own.
        """
        with self.store.write() as tx:
            work.lock_annotator(tx, turn.annotator_id)
            assignment = _own(tx, turn, token)
            label = votes.current(tx, assignment.id)
            if label is None and assignment.state != "leased":
                raise TaskGoneError("this task took too long and went back; go on with the next")
            if label is not None:
                if label["outcome"] == "skip" and not self._take_again(tx, turn, assignment):
                    raise TaskGoneError(
                        "this task was skipped and then given to somebody else; go on with the next"
                    )
                votes.retract(tx, assignment.id, token_hex(16))
                work.reopen(tx, assignment, expiry(tx, turn))
                journal.note(
                    tx, "label undone", actor=turn.annotator_id, project=turn.project.id, event=label["id"]
                )
            return _task(tx, assignment)

    def release(self, turn: Turn, token: str) -> None:
        """Give a task back unanswered, at once."""
        with self.store.write() as tx:
            assignment = _own(tx, turn, token)
            if assignment.state == "leased":
                work.give_back(tx, assignment)

    def standing(self, turn: Turn) -> Standing:
        """How far somebody is."""
        project, settings = turn.project.id, turn.project.settings
        with self.store.read() as tx:
            done = work.count_done(tx, project, turn.annotator_id)
            left = work.count_unseen(tx, project, turn.annotator_id, "ordinary", settings.overlap)
        return Standing(done, -(-left // 10) * 10)

    def last(self, turn: Turn) -> str | None:
        """The token of what somebody answered last, which is what an undo takes back."""
        with self.store.read() as tx:
            done = work.last_done(tx, turn.project.id, turn.annotator_id)
        return done.token if done else None

    def _draw(self, tx: Transaction, turn: Turn) -> Assignment | Idle | None:
        project, annotator = turn.project.id, turn.annotator_id
        settings = turn.project.settings
        round_left = work.unseen(tx, project, annotator, "qualification")
        if round_left:
            return self._give(tx, turn, self._among(round_left, "qualification"))
        answered, right = work.qualification(tx, project, annotator)
        if answered and right < settings.qualification_pass * answered:
            return "not_qualified"
        given = self._repeat(tx, turn) or self._gold(tx, turn) or self._probe(tx, turn)
        return given or self._ordinary(tx, turn)

    def _repeat(self, tx: Transaction, turn: Turn) -> Assignment | None:
        settings = turn.project.settings
        if self.rng.random() >= settings.repeat_rate:
            return None
        again = work.repeatable(tx, turn.project.id, turn.annotator_id, settings.repeat_gap)
        if not again:
            return None
        item, order = again[self.rng.randrange(len(again))]
        return self._give(tx, turn, Draw(item, "repeat", 1 / len(again)), list(reversed(order)))

    def _gold(self, tx: Transaction, turn: Turn) -> Assignment | None:
        if self.rng.random() >= turn.project.settings.gold_rate:
            return None
        unseen = work.unseen(tx, turn.project.id, turn.annotator_id, "gold")
        return self._give(tx, turn, self._among(unseen, "gold")) if unseen else None

    def _probe(self, tx: Transaction, turn: Turn) -> Assignment | None:
        settings = turn.project.settings
        if self.rng.random() >= settings.probe_rate:
            return None
        ready = probes.ready(tx, turn.project.id, turn.annotator_id, settings.repeat_gap)
        if not ready:
            return None
        item, order = ready[self.rng.randrange(len(ready))]
        order = order or self.rng.sample(range(2), 2)
        return give(tx, turn, Draw(item, "probe", 1 / len(ready)), order, pass_number=1)

    def _ordinary(self, tx: Transaction, turn: Turn) -> Assignment | Idle | None:
        """An item with votes left; None where others are just being given all there are.

        Who waited for those with locks of one's own could wait in a circle: it is tried again instead.
        """
        project, overlap = turn.project.id, turn.project.settings.overlap
        candidates = work.unseen(tx, project, turn.annotator_id, "ordinary", overlap)
        contested = bool(candidates)
        while candidates:
            choice = self.choose(candidates, self.rng)
            if work.reserve(tx, choice.item_id, overlap, wait=False):
                return self._give(tx, turn, choice)
            candidates.remove(choice.item_id)
        if contested:
            return None
        if not projects.count_items(tx, project):
            return "empty"
        return "waiting" if work.may_come_back(tx, project, turn.annotator_id) else "done"

    def _among(self, items: Sequence[int], purpose: Purpose) -> Draw:
        return Draw(self.rng.choice(items), purpose, 1 / len(items))

    def _give(
        self, tx: Transaction, turn: Turn, draw: Draw, order: Sequence[int] | None = None
    ) -> Assignment:
        if order is not None:
            return give(tx, turn, draw, order, pass_number=2)
        count = work.count_answers(tx, draw.item_id)
        return give(tx, turn, draw, self.rng.sample(range(count), count), pass_number=1)

    def _take_again(self, tx: Transaction, turn: Turn, assignment: Assignment) -> bool:
        """Whether a task that had gone back can be had again by who comes late."""
        if assignment.pass_number > 1:
            return True
        return work.reserve(tx, assignment.item_id, turn.project.settings.overlap, wait=True)


def _own(tx: Transaction, turn: Turn, token: str) -> Assignment:
    assignment = work.of_token(tx, turn.project.id, turn.annotator_id, token)
    if assignment is None:
        raise TaskGoneError("there is no such task in your hands; go on with the next")
    return assignment


def give(tx: Transaction, turn: Turn, draw: Draw, order: Sequence[int], *, pass_number: int) -> Assignment:
    """Put what was drawn into somebody's hands, its answers in an order, under the newest guidelines."""
    guidelines = projects.current_guidelines(tx, turn.project.id)
    return work.give(
        tx,
        draw,
        (turn.project.id, turn.annotator_id),
        order,
        pass_number=pass_number,
        guideline_version=guidelines.version if guidelines else None,
        expires_at=expiry(tx, turn),
    )


def expiry(tx: Transaction, turn: Turn) -> int:
    """When a task that is given now goes back unless it is answered."""
    return tx.now + round(turn.project.settings.lease_minutes * 60_000)


def _task(tx: Transaction, assignment: Assignment) -> Task:
    answers = projects.responses_of(tx, [assignment.item_id])[assignment.item_id]
    earlier = votes.retracted(tx, assignment.id)
    return Task(
        token=assignment.token,
        prompt=work.content(tx, assignment.item_id),
        responses=[answers[place][0] for place in assignment.shown_order],
        guideline_version=assignment.guideline_version,
        earlier=as_answered(earlier, assignment.shown_order) if earlier else None,
    )
