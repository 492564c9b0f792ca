"""Webhooks from the vote that finishes something to the receiver: real servers on this machine listen."""

import json
import time
from random import Random
from threading import Thread

import pytest
from office import PLAIN, key, pair, pairs, project, running, together, turn
from receivers import receiving, status
from sqlalchemy import select

from gnomon.labelling.client import LabelClient, RefusedError
from gnomon.labelling.courier import LOST, Courier, Pace, signature
from gnomon.labelling.judgement import Judgement, as_kept
from gnomon.labelling.queue import Queue, Turn
from gnomon.labelling.reach import Reach
from gnomon.labelling.server import listen, serving
from gnomon.labelling.store import votes, webhooks, work
from gnomon.labelling.store.tables import outbox
from gnomon.labelling.store.tables import webhooks as kept

LOCAL = Reach.of(["127.0.0.0/8"])
BOTH = ("item.finished", "project.finished")
TIE = Judgement(choice="tie")


def hook(store, made, url: str = "http://127.0.0.1:9/", events=BOTH) -> tuple[int, str]:
    with store.write() as tx:
        return webhooks.add(tx, made.id, url, events)


def courier(store, **pace) -> Courier:
    return Courier(store, LOCAL, Pace(**{"timeout": 5.0, **pace}), Random(0))


def vote(store, who: Turn, judgement: Judgement = TIE, count: int = 1) -> None:
    queue = Queue(store)
    for _ in range(count):
        task = queue.next(who)
        queue.submit(who, task.token, judgement, f"key-{task.token}")


def told(store) -> list[dict]:
    """The messages in the outbox, in order: the event with what it tells."""
    with store.read() as tx:
        rows = tx.connection.execute(select(outbox).order_by(outbox.c.id)).all()
    return [{"event": row.event, **json.loads(row.body)["data"]} for row in rows]


def log(store, number: int) -> list[dict]:
    with store.read() as tx:
        return webhooks.deliveries(tx, number, 100)


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
    votes.record(tx, assignment.id, "key-12345", as_kept(TIE, assignment.shown_order))
    work.finish(tx, assignment, votes=True)


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


def test_a_message_arrives_signed_and_once(store, clock):
    made = project(store, pairs(1))
    with receiving() as receiver:
        number, secret = hook(store, made, receiver.url, ["item.finished"])
        vote(store, turn(store, made))
        sender = courier(store)
        assert [sender.deliver(), sender.deliver()] == [True, False]
        (seen,) = receiver.seen
    assert json.loads(seen.body) == {
        "type": "item.finished",
        "timestamp": "2023-11-14T22:13:20+00:00",
        "data": {"project": "p", "item": "pair-0", "votes": 1},
    }
    (entry,) = log(store, number)
    sent = seen.headers
    assert sent["content-type"] == "application/json"
    assert (sent["webhook-id"], sent["webhook-timestamp"]) == (entry["message"], str(clock.now // 1000))
    assert sent["webhook-signature"] == signature(secret, entry["message"], clock.now // 1000, seen.body)
    assert (entry["state"], entry["body"]) == ("delivered", seen.body)
    assert [(tried["status"], tried["error"]) for tried in entry["attempts"]] == [(204, None)]


def test_the_signature_is_that_of_the_specification():
    """Made with `openssl dgst -sha256 -mac HMAC` over id, time and body, joined by dots."""
    sent = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330)
    assert signature(*sent, '{"test": 2432232314}') == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    for changed in (("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx", *sent[1:]), (*sent[:2], 1614265331)):
        assert signature(*changed, '{"test": 2432232314}') != signature(*sent, '{"test": 2432232314}')


def test_what_fails_is_tried_again_under_one_id_ever_more_rarely_and_then_is_dead(store, clock):
    made = project(store, pairs(1))
    with receiving() as receiver:
        number, secret = hook(store, made, receiver.url, ["item.finished"])
        vote(store, turn(store, made))
        sender, waits = courier(store, attempts=4), []
        receiver.replies += [status(500), status(302, Location=receiver.url), status(410), status(404)]
        assert sender.deliver()
        for _ in range(3):
            waits.append(0)
            while not sender.deliver():
                clock.pass_minutes(1 / 60)
                waits[-1] += 1
        clock.pass_minutes(100_000)
        assert not sender.deliver()
        assert len(receiver.seen) == 4
    assert all(0.7 < wait / base < 1.3 for wait, base in zip(waits, (10, 40, 160), strict=True))
    assert len({seen.headers["webhook-id"] for seen in receiver.seen}) == 1
    assert len({seen.headers["webhook-timestamp"] for seen in receiver.seen}) == 4
    for seen in receiver.seen:
        at = int(seen.headers["webhook-timestamp"])
        signed = signature(secret, seen.headers["webhook-id"], at, seen.body)
        assert seen.headers["webhook-signature"] == signed
    (entry,) = log(store, number)
    assert entry["state"] == "dead"
    assert [tried["status"] for tried in entry["attempts"]] == [500, 302, 410, 404]
    with store.read() as tx:
        (seen,) = webhooks.of_project(tx, made.id)
    assert (seen.waiting, seen.dead) == (0, 1)


def test_what_is_out_of_reach_is_not_called_and_the_log_says_so(store):
    """An address that was within reach when it was added need not be when it is called."""
    made = project(store, pairs(1))
    with receiving() as receiver:
        number, _ = hook(store, made, receiver.url, ["item.finished"])
        vote(store, turn(store, made))
        assert Courier(store, Reach(), Pace(), Random(0)).deliver()
        assert receiver.seen == []
    (entry,) = log(store, number)
    assert entry["state"] == "waiting"
    (tried,) = entry["attempts"]
    assert tried["status"] is None
    assert tried["error"].startswith("refused: 127.0.0.1 does not lead to the public internet")


def test_why_there_was_no_reply_is_in_the_log(store):
    made = project(store, pairs(1))
    with receiving() as receiver:
        receiver.replies.append(lambda handler: time.sleep(0.5))
        number, _ = hook(store, made, receiver.url)
        other, _ = hook(store, made, "http://127.0.0.1:9/")
        vote(store, turn(store, made))
        sender = courier(store, timeout=0.2)
        while sender.deliver():
            pass
    errors = [entry["attempts"][0]["error"] for entry in log(store, number) + log(store, other)]
    assert "no reply within 0.2 s" in errors
    assert sum("ConnectError" in (error or "") for error in errors) == 2


def test_a_message_whose_bearer_died_is_sent_again(store, clock):
    made = project(store, pairs(1))
    with receiving() as receiver:
        number, _ = hook(store, made, receiver.url, ["item.finished"])
        vote(store, turn(store, made))
        sender = courier(store)

        class KilledError(BaseException):
            pass

        def killed(message):
            raise KilledError

        sender._again = killed
        with pytest.raises(KilledError):
            sender.deliver()
        sender = courier(store)
        assert not sender.deliver(), "others think it is under way"
        clock.pass_minutes(1.5)
        assert sender.deliver()
        first, second = receiver.seen
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    (entry,) = log(store, number)
    assert entry["state"] == "delivered"


def test_a_message_that_kills_its_bearers_is_given_up(store, clock):
    made = project(store, pairs(1))
    with receiving() as receiver:
        number, _ = hook(store, made, receiver.url, ["item.finished"])
        vote(store, turn(store, made))
        sender, fit = courier(store, attempts=2), courier(store, attempts=2)
        sender._again = None
        for _ in range(2):
            with pytest.raises(TypeError):
                sender.deliver()
            clock.pass_minutes(1.5)
        assert fit.deliver()
        assert len(receiver.seen) == 2
    (entry,) = log(store, number)
    assert entry["state"] == "dead"
    assert [tried["error"] for tried in entry["attempts"]] == [LOST.error]


def test_many_couriers_deliver_each_message_once(store):
    made = project(store, pairs(12))
    with receiving() as receiver:
        hook(store, made, receiver.url, ["item.finished"])
        vote(store, turn(store, made), count=12)

        def carry(number: int) -> int:
            sender, count = courier(store), 0
            while sender.deliver():
                count += 1
            return count

        assert sum(together(4, carry)) == 12
        ids = [seen.headers["webhook-id"] for seen in receiver.seen]
    assert len(ids) == len(set(ids)) == 12


def test_messages_wait_with_a_paused_webhook_and_none_come_to_a_deleted_one(store):
    made = project(store, pairs(3))
    with receiving() as receiver:
        number, secret = hook(store, made, receiver.url, ["item.finished"])
        sender, who = courier(store), turn(store, made)
        with store.write() as tx:
            assert webhooks.pause(tx, made.id, number, paused=True)
        vote(store, who)
        assert not sender.deliver()
        with store.write() as tx:
            assert webhooks.pause(tx, made.id, number, paused=False)
        assert sender.deliver()
        vote(store, who)
        with store.write() as tx:
            assert webhooks.delete(tx, made.id, number)
        vote(store, who)
        assert not sender.deliver()
        assert len(receiver.seen) == 1
    assert len(told(store)) == 2
    with store.read() as tx:
        assert webhooks.of_project(tx, made.id) == []
        assert secret not in str(tx.connection.execute(select(kept)).all())


def eventually(found, seconds: float = 10.0):
    """What `found` returns as soon as that is something."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
    return value


def test_an_administrator_adds_tests_pauses_and_deletes_over_http(store):
    """Served as a whole: the messages are delivered in the background."""
    made = project(store, pairs(1))
    quick, whole = Courier(store, LOCAL, Pace(look=0.02)), key(store, made, "admin")
    with (
        receiving() as receiver,
        serving(store, listen("127.0.0.1", 0), courier=quick) as url,
        LabelClient(url, whole) as admin,
    ):
        added = admin.add_webhook("p", receiver.url, ["project.finished"])
        assert added.secret.startswith("whsec_")
        message = admin.test_webhook("p", added.id)
        seen = eventually(lambda: receiver.seen and receiver.seen[0])
        assert (seen.headers["webhook-id"], json.loads(seen.body)["type"]) == (message, "test")
        with LabelClient(url, key(store, made)) as ada:
            ada.submit("p", ada.next("p").task.token, TIE)
        eventually(lambda: len(receiver.seen) == 2)
        eventually(lambda: all(one["state"] == "delivered" for one in admin.deliveries("p", added.id)))
        assert [one["event"] for one in admin.deliveries("p", added.id)] == ["project.finished", "test"]
        (shown,) = admin.webhooks("p")
        assert (shown.url, shown.events, shown.paused) == (receiver.url, ["project.finished"], False)
        assert added.secret not in str(admin.webhooks("p")) + str(admin.deliveries("p", added.id))
        assert added.secret not in str(admin.audit("p"))
        admin.pause_webhook("p", added.id)
        assert admin.webhooks("p")[0].paused
        admin.delete_webhook("p", added.id)
        assert admin.webhooks("p") == []
        for act in (admin.test_webhook, admin.pause_webhook, admin.delete_webhook, admin.deliveries):
            with pytest.raises(RefusedError, match="no such webhook"):
                act("p", added.id)
        actions = [line["action"] for line in admin.audit("p")]
    assert {"webhook added", "webhook paused", "webhook deleted"} <= set(actions)


def test_an_address_inside_is_refused_when_it_is_added(store):
    made = project(store, pairs(1))
    with running(store) as url, LabelClient(url, key(store, made, "admin")) as admin:
        for target in ("http://127.0.0.1:80/", "http://169.254.169.254/latest/meta-data", "http://[::1]/"):
            with pytest.raises(RefusedError, match="does not lead to the public internet") as refused:
                admin.add_webhook("p", target)
            assert refused.value.status == 400
        with pytest.raises(RefusedError, match="events"):
            admin._json("POST", "/projects/p/webhooks", {"url": "http://a/", "events": ["nothing"]})
        assert admin.webhooks("p") == []


def test_a_webhook_of_another_project_is_not_there(store):
    one, other = project(store, pairs(1)), project(store, pairs(1), slug="q")
    number, _ = hook(store, one)
    with running(store) as url, LabelClient(url, key(store, other, "admin")) as admin:
        for act in (admin.test_webhook, admin.pause_webhook, admin.delete_webhook, admin.deliveries):
            with pytest.raises(RefusedError, match="no such webhook"):
                act("q", number)
    with store.read() as tx:
        assert [one.paused for one in webhooks.of_project(tx, one.id)] == [False]


def test_projects_without_webhooks_are_told_to_nobody(store):
    made, other = project(store, pairs(1)), project(store, pairs(1), slug="q")
    hook(store, other)
    vote(store, turn(store, made))
    assert told(store) == []
