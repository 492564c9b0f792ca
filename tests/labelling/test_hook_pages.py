"""The pages of webhooks, as an administrator's browser uses them."""

import re

from listening import LOCAL, hook, log, vote
from office import arrive, pairs, project, turn
from receivers import receiving, status

from gnomon.labelling.courier import Courier, Pace
from gnomon.labelling.server import listen, serving
from gnomon.labelling.store import webhooks


def press(browser, page: str, action: str, **fields):
    """Send the form of a page whose address ends so, with what it has in it."""
    sent = browser.get(page).text
    for form in re.findall(r"<form.*?</form>", sent, re.S):
        target = re.search(r'action="([^"]+)"', form)[1]
        if target.endswith(action):
            hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
            return browser.post(target, data=hidden | fields)
    raise AssertionError(f"{page} has no form that ends in {action}")


def test_an_administrator_adds_and_looks_and_acts(store):
    made = project(store, pairs(1))
    slow = Courier(store, LOCAL, Pace(look=3600))  # nothing is sent but by the test
    with (
        receiving() as receiver,
        serving(store, listen("127.0.0.1", 0), courier=slow) as url,
        arrive(store, url, made) as ada,
    ):
        assert "/p/p/webhooks" in ada.get("/p/p/results").text
        assert "Nobody yet" in ada.get("/p/p/webhooks").text
        added = press(ada, "/p/p/webhooks", "/webhooks", url=receiver.url, events="item.finished")
        (secret,) = re.findall(r"whsec_[\w+/=]+", added.text)
        with store.read() as tx:
            (one,) = webhooks.of_project(tx, made.id)
        assert one.events == ["item.finished"]
        here = f"/p/p/webhooks/{one.id}"
        listed = ada.get("/p/p/webhooks").text
        assert receiver.url in listed
        assert secret not in listed + ada.get(here).text
        assert press(ada, here, "/test").headers["location"] == here
        assert slow.deliver()
        assert "204" in ada.get(here).text
        vote(store, turn(store, made))
        receiver.replies.append(status(410))
        assert slow.deliver()
        newest, _ = log(store, one.id)
        assert "410" in ada.get(here).text
        assert press(ada, here, f"/{newest['id']}/again").headers["location"] == here
        assert slow.deliver()
        assert [entry["state"] for entry in log(store, one.id)] == ["delivered", "delivered"]
        assert press(ada, here, f"/{newest['id']}/discard").status_code == 303
        assert [entry["event"] for entry in log(store, one.id)] == ["test"]
        for paused in (True, False):
            assert press(ada, here, "/paused").status_code == 303
            with store.read() as tx:
                assert webhooks.of_project(tx, made.id)[0].paused is paused
        assert press(ada, here, "/delete").headers["location"] == "/p/p/webhooks"
        assert ada.get(here).status_code == 404


def test_every_event_is_told_where_nothing_is_ticked_and_what_is_inside_is_refused(store):
    made = project(store, pairs(1))
    with (
        serving(store, listen("127.0.0.1", 0), courier=Courier(store, LOCAL)) as url,
        arrive(store, url, made) as ada,
    ):
        refused = press(ada, "/p/p/webhooks", "/webhooks", url="http://169.254.169.254/latest")
        assert (refused.status_code, "public internet" in refused.text) == (400, True)
        assert press(ada, "/p/p/webhooks", "/webhooks", url="", events="item.finished").status_code == 422
        assert press(ada, "/p/p/webhooks", "/webhooks", url="http://127.0.0.1:9/<b>").status_code == 200
        assert "<b>" not in ada.get("/p/p/webhooks").text
    with store.read() as tx:
        (one,) = webhooks.of_project(tx, made.id)
    assert one.events == ["item.finished", "project.finished"]


def test_the_log_is_read_page_by_page(store, monkeypatch):
    monkeypatch.setattr("gnomon.labelling.hook_pages.SHOWN", 2)
    made = project(store, pairs(3))
    number, _ = hook(store, made, events=["item.finished"])
    vote(store, turn(store, made), count=3)
    with serving(store, listen("127.0.0.1", 0)) as url, arrive(store, url, made) as ada:
        first = ada.get(f"/p/p/webhooks/{number}").text
        older = re.search(r'href="([^"]+before=\d+)"', first)[1]
        second = ada.get(older).text
    assert "before=" not in second
    numbers = [re.findall(r'<th scope="row">(\d+)</th>', page) for page in (first, second)]
    assert numbers == [
        [str(entry["id"]) for entry in log(store, number)[:2]],
        [str(log(store, number)[2]["id"])],
    ]
    assert "before=" not in second
