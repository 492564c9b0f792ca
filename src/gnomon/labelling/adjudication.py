"""Disagreements and who decides them: giving out cases, taking decisions, taking them back.

A case is an item whose votes are all in and differ, or that somebody flagged. Who hears it sees both answers
in an order drawn for the hearing, how often each thing was said and why: neither who said it nor which model
wrote what. Votes stay as they are, and a decision is an event beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random, SystemRandom
from secrets import token_hex
from typing import Any, Literal

from gnomon.labelling.judgement import Judgement, as_kept, as_shown
from gnomon.labelling.queue import Standing, TaskGoneError, Turn, alone, expiry, give, in_turn
from gnomon.labelling.said import Said, told
from gnomon.labelling.store import cases, journal, projects, votes, work
from gnomon.labelling.store.database import Store, Transaction
from gnomon.labelling.store.statements import HEARING, Assignment
from gnomon.labelling.store.work import Draw

Rest = Literal["done", "waiting"]


@dataclass(frozen=True, slots=True)
class Case:
    """What is shown to whoever decides: responses from left to right, and what was said of them there."""

    token: str
    prompt: Sequence[Any]
    responses: Sequence[Any]
    said: Said
    earlier: Judgement | None = None


@dataclass(frozen=True)
class Bench:
    """Hears the cases of a store. A decision is a judgement in sight of the votes; `skip` leaves it open."""

    store: Store
    rng: Random = field(default_factory=SystemRandom)

    def next(self, turn: Turn) -> Case | Rest:
        """The case in somebody's hands, or else another, drawn uniformly; `done` where there is none.

        Nobody hears a case in which they took part: by a judgement of their own, or by leaving it open.
        """

        def attempt() -> Case | Rest | None:
            with self.store.read() as tx:
                if case := _held(tx, turn):
                    return case
                waiting = cases.unheard(tx, turn.project.id, turn.project.settings, turn.annotator_id)
            if not waiting:
                return "done"
            with alone(self.store, turn) as tx:
                return _held(tx, turn) or self._take(tx, turn, waiting)

        return in_turn(self.store, turn, self.rng, attempt)

    def decide(self, turn: Turn, token: str, judgement: Judgement, idempotency_key: str) -> None:
        """Keep a decision, once however often it is sent; TaskGoneError where it cannot be kept."""
        with alone(self.store, turn) as tx:
            hearing = _own(tx, turn, token)
            kept = as_kept(judgement, hearing.shown_order)
            known = votes.known(tx, hearing.id, idempotency_key)
            if known and votes.same(known, kept):
                return
            if known or hearing.state == "done":
                raise TaskGoneError("this case was decided already; undo that first")
            if hearing.state == "returned" and not cases.take(tx, hearing.item_id, wait=True):
                raise TaskGoneError("this case took too long and went to somebody else; go on with the next")
            seen = [vote["id"] for vote in cases.votes_on(tx, hearing.item_id)]
            event = votes.record(tx, hearing.id, idempotency_key, kept | {"seen": seen}, "decision")
            work.finish(tx, hearing, event, votes=True)
            self._note(tx, turn, hearing, "item adjudicated", event=event, outcome=kept["outcome"], seen=seen)

    def undo(self, turn: Turn, token: str) -> Case:
        """Take back a decision: its case is in the same hands again, as it was shown.

        Undoing twice is undoing once. TaskGoneError for a case that is not somebody's own, or not any more.
        """
        with alone(self.store, turn) as tx:
            hearing = _own(tx, turn, token)
            decision = votes.current(tx, hearing.id, "decision")
            if decision is None and hearing.state != "leased":
                raise TaskGoneError("this case took too long and went back; go on with the next")
            if decision is not None:
                left_open = decision["outcome"] == cases.LEFT_OPEN
                if left_open and not cases.take(tx, hearing.item_id, wait=True):
                    raise TaskGoneError(
                        "this case was left open and then given to somebody else; go on with the next"
                    )
                votes.retract(tx, hearing.id, token_hex(16))
                work.reopen(tx, hearing, expiry(tx, turn))
                self._note(tx, turn, hearing, "decision undone", event=decision["id"])
            return _case(tx, hearing)

    def release(self, turn: Turn, token: str) -> None:
        """Give a case back undecided, at once."""
        with self.store.write() as tx:
            hearing = _own(tx, turn, token)
            if hearing.state == "leased":
                work.give_back(tx, hearing)

    def standing(self, turn: Turn) -> Standing:
        """How many cases somebody decided or left open, and how many wait for them."""
        project, annotator = turn.project.id, turn.annotator_id
        with self.store.read() as tx:
            done = work.count_done(tx, project, annotator, hearing=True)
            held = work.held(tx, project, annotator, hearing=True) is not None
            return Standing(done, len(cases.unheard(tx, project, turn.project.settings, annotator)) + held)

    def last(self, turn: Turn) -> str | None:
        """The token of what somebody decided last, which is what an undo takes back."""
        with self.store.read() as tx:
            done = work.last_done(tx, turn.project.id, turn.annotator_id, hearing=True)
        return done.token if done else None

    def _take(self, tx: Transaction, turn: Turn, waiting: list[int]) -> Case | None:
        """A case of those that waited; None where others are just being given all there are."""
        while waiting:
            item = self.rng.choice(waiting)
            part = work.took_part(tx, item, turn.annotator_id, HEARING)
            if not part and cases.take(tx, item, wait=False):
                drawn = Draw(item, "adjudication", 1 / len(waiting))
                return _case(tx, give(tx, turn, drawn, self.rng.sample((0, 1), 2), pass_number=HEARING))
            waiting.remove(item)
        return None

    def _note(self, tx: Transaction, turn: Turn, hearing: Assignment, action: str, **detail: Any) -> None:
        item = cases.name_of(tx, hearing.item_id)
        journal.note(tx, action, actor=turn.annotator_id, project=turn.project.id, item=item, **detail)


def _held(tx: Transaction, turn: Turn) -> Case | None:
    held = work.held(tx, turn.project.id, turn.annotator_id, hearing=True)
    return _case(tx, held) if held else None


def _own(tx: Transaction, turn: Turn, token: str) -> Assignment:
    hearing = work.of_token(tx, turn.project.id, turn.annotator_id, token, hearing=True)
    if hearing is None:
        raise TaskGoneError("there is no such case in your hands; go on with the next")
    return hearing


def _case(tx: Transaction, hearing: Assignment) -> Case:
    answers = projects.responses_of(tx, [hearing.item_id])[hearing.item_id]
    earlier = votes.retracted(tx, hearing.id, "decision")
    return Case(
        token=hearing.token,
        prompt=work.content(tx, hearing.item_id),
        responses=[answers[place][0] for place in hearing.shown_order],
        said=told(cases.votes_on(tx, hearing.item_id), hearing.shown_order),
        earlier=as_shown(earlier, hearing.shown_order) if earlier else None,
    )
