"""Webhooks over HTTP, from a vote to the receiver, delivered by the server in the background."""

import json
import time

import pytest
from listening import LOCAL, TIE, hook
from office import key, pairs, project, running
from receivers import receiving

from gnomon.labelling.client import LabelClient, RefusedError
from gnomon.labelling.courier import Courier, Pace
from gnomon.labelling.server import listen, serving
from gnomon.labelling.store import webhooks


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
