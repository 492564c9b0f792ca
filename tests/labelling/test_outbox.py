"""What is told to webhooks: written with the vote that finishes something, and not without it."""

from threading import Thread

import pytest
from listening import TIE, hook, told, vote
from office import PLAIN, pair, pairs, project, several, together, turn
from sqlalchemy import select

from gnomon.labelling.adjudication import Bench
from gnomon.labelling.judgement import Judgement, Ordering, as_kept
from gnomon.labelling.queue import Queue, Turn
from gnomon.labelling.store import votes, work
from gnomon.labelling.store.tables import outbox


def test_the_vote_that_finishes_an_item_is_told_with_it(store):
    made = project(store, pairs(2), PLAIN.model_copy(update={"overlap": 2}))
    hook(store, made)
    one, other = turn(store, made), turn(store, made)
    vote(store, one, count=2)
    assert told(store) == []
    vote(store, other, Judgement(choice="skip"))
    vote(store, other)
    (first,) = told(store)
    assert first == {"event": "item.finished", "project": "p", "item": first["item"], "votes": 2}
    vote(store, turn(store, made))
    _, second, last = told(store)
    assert {first["item"], second["item"]} == {"pair-0", "pair-1"}
    assert last == {"event": "project.finished", "project": "p", "items": 2}


def test_gold_qualification_and_repeats_finish_nothing(store):
    items = [pair("known", "gold", 0), pair("first", "qualification", 0), *pairs(2)]
    more = {"gold_rate": 1, "repeat_rate": 1, "repeat_gap": 1, "qualification_pass": 0}
    made = project(store, items, PLAIN.model_copy(update=more))
    hook(store, made)
    who, queue, answered = turn(store, made), Queue(store), 0
    while not isinstance(task := queue.next(who), str):
        queue.submit(who, task.token, TIE, f"key-{task.token}")
        answered += 1
    assert answered > 4, "a repeat is among them"
    events = [message["event"] for message in told(store)]
    assert events == ["item.finished", "item.finished", "project.finished"]


def test_rankings_are_finished_by_their_votes_and_decisions_finish_nothing(store):
    made = project(
        store,
        [several("many"), pair("one")],
        PLAIN.model_copy(update={"overlap": 2, "adjudicate": "different"}),
    )
    hook(store, made)
    queue, bench = Queue(store), Bench(store)
    for judgement in (TIE, Judgement(choice="both_bad")):
        who = turn(store, made)
        while not isinstance(task := queue.next(who), str):
            answer = judgement if len(task.responses) == 2 else Ordering(ranks=(2, 1, 1, 3))
            queue.submit(who, task.token, answer, f"key-{task.token}")
    before = told(store)
    assert {message["item"]: message["votes"] for message in before[:2]} == {"many": 2, "one": 2}
    assert before[2:] == [{"event": "project.finished", "project": "p", "items": 2}]
    judge = turn(store, made)
    for attempt, choice in enumerate(("skip", "tie")):
        token = bench.next(judge).token
        bench.decide(judge, token, Judgement(choice=choice), f"key-{attempt}-more")
        bench.undo(judge, token)
    assert told(store) == before


def test_who_is_at_an_item_keeps_the_project_from_being_finished(store):
    made = project(store, pairs(2))
    hook(store, made, events=["project.finished"])
    one, other = turn(store, made), turn(store, made)
    queue = Queue(store)
    task = queue.next(one)
    vote(store, other)
    assert told(store) == []
    queue.submit(one, task.token, TIE, "key-12345")
    assert [message["event"] for message in told(store)] == ["project.finished"]


def test_an_item_whose_vote_was_taken_back_is_finished_once_more(store):
    made = project(store, pairs(2))
    hook(store, made, events=["item.finished"])
    who, queue = turn(store, made), Queue(store)
    task = queue.next(who)
    for attempt in range(2):
        queue.submit(who, task.token, TIE, f"key-{attempt}-more")
        queue.submit(who, task.token, TIE, f"key-{attempt}-more")
        queue.undo(who, task.token)
    assert len(told(store)) == 2


def test_votes_at_one_moment_finish_an_item_and_a_project_once(store):
    made = project(store, pairs(2), PLAIN.model_copy(update={"overlap": 4}))
    hook(store, made)
    queue, turns = Queue(store), [turn(store, made) for _ in range(4)]
    for _ in range(2):
        tokens = [queue.next(who).token for who in turns]

        def submit(number, tokens=tokens):
            queue.submit(turns[number], tokens[number], TIE, f"key-{tokens[number]}")

        assert together(4, submit) == [None] * 4
    events = [message["event"] for message in told(store)]
    assert sorted(events) == ["item.finished", "item.finished", "project.finished"]
    assert events[-1] == "project.finished"


def finish(tx, who: Turn, token: str) -> None:
    """A vote inside a transaction that is still open."""
    assignment = work.of_token(tx, who.project.id, who.annotator_id, token)
    event = votes.record(tx, assignment.id, "key-12345", as_kept(TIE, assignment.shown_order))
    work.finish(tx, assignment, event, votes=True)


@pytest.mark.parametrize(("count", "overlap"), [(1, 2), (2, 1)])
def test_the_last_vote_waits_for_one_that_is_just_being_kept(store, count, overlap):
    """Each alone would see the other's as not given yet, and nobody would be the last."""
    made = project(store, pairs(count), PLAIN.model_copy(update={"overlap": overlap}))
    hook(store, made, events=["project.finished"])
    one, other = turn(store, made), turn(store, made)
    first, last = (Queue(store).next(who).token for who in (one, other))
    late = Thread(target=Queue(store).submit, args=(other, last, TIE, "key-12345"))
    with store.write() as tx:
        finish(tx, one, first)
        late.start()
        late.join(0.3)
    late.join()
    assert [message["event"] for message in told(store)] == ["project.finished"]


def test_a_vote_that_is_not_kept_is_not_told(store):
    made = project(store, pairs(1))
    hook(store, made)
    who, queue = turn(store, made), Queue(store)
    token = queue.next(who).token

    def voted_and_failed(tx) -> None:
        finish(tx, who, token)
        assert len(tx.connection.execute(select(outbox)).all()) == 2
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), store.write() as tx:
        voted_and_failed(tx)
    assert told(store) == []


def test_projects_without_webhooks_are_told_to_nobody(store):
    made, other = project(store, pairs(1)), project(store, pairs(1), slug="q")
    hook(store, other)
    vote(store, turn(store, made))
    assert told(store) == []
