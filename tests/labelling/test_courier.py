"""Messages on their way to webhooks: real servers on this machine listen."""

import json
import time
from random import Random

import pytest
from listening import courier, hook, log, told, vote
from office import pairs, project, together, turn
from receivers import receiving, status
from sqlalchemy import select

from gnomon.labelling.courier import LOST, Courier, Pace, signature
from gnomon.labelling.reach import Reach
from gnomon.labelling.store import webhooks
from gnomon.labelling.store.tables import webhooks as kept


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
