"""What became of messages: sent again, discarded, and forgotten in time."""

import pytest
from listening import courier, hook, log, vote
from office import key, pairs, project, running, turn
from receivers import receiving, status
from sqlalchemy import func, select

from gnomon.labelling import courier as couriers
from gnomon.labelling.client import LabelClient, RefusedError
from gnomon.labelling.courier import Pace
from gnomon.labelling.store import journal, webhooks
from gnomon.labelling.store.tables import attempts, outbox

DAY = 24 * 60


def counted(store) -> tuple[int, int]:
    """Messages and attempts in the database."""
    with store.read() as tx:
        found = [tx.connection.execute(select(func.count()).select_from(one)) for one in (outbox, attempts)]
        return tuple(one.scalar_one() for one in found)


@pytest.mark.parametrize("reply", [404, 204])
def test_a_message_is_sent_again_under_its_id_whatever_became_of_it(store, reply):
    made = project(store, pairs(1))
    with receiving() as receiver:
        number, _ = hook(store, made, receiver.url, ["item.finished"])
        vote(store, turn(store, made))
        sender = courier(store, attempts=1)
        receiver.replies.append(status(reply))
        assert sender.deliver()
        (entry,) = log(store, number)
        assert entry["state"] == ("dead" if reply == 404 else "delivered")
        assert not sender.deliver()
        with store.write() as tx:
            assert webhooks.again(tx, made.id, number, entry["id"])
        assert log(store, number)[0]["state"] == "waiting"
        assert [sender.deliver(), sender.deliver()] == [True, False]
        first, second = receiver.seen
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    (entry,) = log(store, number)
    assert (entry["state"], [tried["status"] for tried in entry["attempts"]]) == ("delivered", [reply, 204])


def test_what_was_given_up_stays_until_it_is_discarded(store, clock):
    made = project(store, pairs(2))
    with receiving() as receiver:
        number, _ = hook(store, made, receiver.url, ["item.finished"])
        vote(store, turn(store, made), count=2)
        sender = courier(store, attempts=1)
        receiver.replies += [status(404), status(404)]
        assert [sender.deliver() for _ in range(3)] == [True, True, False]
    clock.pass_minutes(400 * DAY)
    assert sender.tidy() == 0
    second, first = log(store, number)
    with store.write() as tx:
        assert webhooks.discard(tx, made.id, number, first["id"])
        assert not webhooks.discard(tx, made.id, number, first["id"])
        assert not webhooks.again(tx, made.id, number, first["id"])
    assert log(store, number) == [second]
    assert counted(store) == (1, 1)


def test_what_arrived_is_forgotten_after_its_days(store, clock):
    """Two messages a day apart; each goes when its own time has come, and not before."""
    made = project(store, pairs(3))
    with receiving() as receiver:
        hook(store, made, receiver.url, ["item.finished"])
        sender, who = courier(store, keep_days=10), turn(store, made)
        for _ in range(2):
            vote(store, who)
            assert sender.deliver()
            clock.pass_minutes(DAY)
        clock.pass_minutes(7.9 * DAY)
        assert (sender.tidy(), counted(store)) == (0, (2, 2))
        clock.pass_minutes(0.2 * DAY)
        assert (sender.tidy(), counted(store)) == (1, (1, 1))
        vote(store, who)
        clock.pass_minutes(DAY)
        assert (sender.tidy(), counted(store)) == (1, (1, 0)), "what waits is not forgotten, however old"
        clock.pass_minutes(100 * DAY)
        assert sender.tidy() == 0
        assert sender.deliver()
        clock.pass_minutes(61)
        assert (sender.tidy(), counted(store)) == (0, (1, 1)), "it arrived just now"


def test_a_message_that_is_discarded_on_its_way_leaves_nothing(store):
    made = project(store, pairs(1))
    with receiving() as receiver:
        number, _ = hook(store, made, receiver.url, ["item.finished"])
        vote(store, turn(store, made))

        def discard(handler) -> None:
            with store.write() as tx:
                assert webhooks.discard(tx, made.id, number, log(store, number)[0]["id"])
            status(204)(handler)

        receiver.replies.append(discard)
        sender = courier(store)
        assert sender.deliver()
        assert len(receiver.seen) == 1
    assert counted(store) == (0, 0)


def test_what_is_old_is_looked_for_once_an_hour_and_forgotten_a_batch_at_a_time(store, clock, monkeypatch):
    monkeypatch.setattr(couriers, "BATCH", 2)
    made = project(store, pairs(5))
    with receiving() as receiver:
        hook(store, made, receiver.url, ["item.finished"])
        vote(store, turn(store, made), count=5)
        sender = courier(store, keep_days=1)
        assert sender.tidy() == 0
        while sender.deliver():
            pass
    clock.pass_minutes(59)
    sender.pace = Pace(keep_days=0)
    assert (sender.tidy(), counted(store)) == (0, (5, 5))
    clock.pass_minutes(1)
    assert (sender.tidy(), counted(store)) == (5, (0, 0))


def test_of_a_deleted_webhook_everything_is_forgotten(store, clock):
    made = project(store, pairs(2))
    number, _ = hook(store, made, events=["item.finished"])
    kept, _ = hook(store, made, events=["item.finished"])
    vote(store, turn(store, made))
    with store.write() as tx:
        assert webhooks.delete(tx, made.id, number)
    sender = courier(store, attempts=1)
    assert sender.deliver()
    clock.pass_minutes(31 * DAY)
    assert (sender.tidy(), counted(store)) == (1, (1, 1))
    assert [entry["state"] for entry in log(store, kept)] == ["dead"]


def test_the_log_is_changed_over_http_and_that_is_in_the_audit_log(store):
    made, other = project(store, pairs(1)), project(store, pairs(1), slug="q")
    number, _ = hook(store, made, events=["item.finished"])
    strange, _ = hook(store, other)
    vote(store, turn(store, made))
    with running(store) as url, LabelClient(url, key(store, made, "admin")) as admin:
        (entry,) = admin.deliveries("p", number)
        admin.redeliver("p", number, entry["id"])
        for act in (admin.redeliver, admin.discard):
            for where in ((number, entry["id"] + 1), (strange, entry["id"]), (number + 9, entry["id"])):
                with pytest.raises(RefusedError, match="no such message"):
                    act("p", *where)
        admin.discard("p", number, entry["id"])
        assert admin.deliveries("p", number) == []
    with store.read() as tx:
        actions = [line.action for _, line in journal.entries(tx, made.id, 2)]
    assert actions == ["message discarded", "message sent again"]
