import json

import pytest

from gnomon.labelling.store import outbox, projects
from gnomon.labelling.store.database import open_store

URL, LOCAL = "http://127.0.0.1:9/hook", ("--allow-target", "127.0.0.0/8")


@pytest.fixture
def made(gnomon):
    """A project without items."""
    assert gnomon("label", "init", "talk").code == 0
    return lambda *arguments: gnomon("label", "webhook", *arguments)


def listed(made) -> list[dict]:
    return json.loads(made("list", "talk", "--json").out)["webhooks"]


def test_webhooks_are_added_shown_paused_and_removed(made):
    assert "nobody is told of talk" in made("list", "talk").out
    added = json.loads(made("add", "talk", URL, "--event", "item.finished", *LOCAL, "--json").out)
    assert added["secret"].startswith("whsec_")
    assert (
        f"webhook {added['id'] + 1} of talk; it is signed with whsec_" in made("add", "talk", URL, *LOCAL).out
    )
    first, second = json.loads(made("list", "talk", "--json").out)["webhooks"]
    assert (first["url"], first["events"], first["paused"]) == (URL, ["item.finished"], False)
    assert second["events"] == ["item.finished", "project.finished"]
    assert made("pause", "talk", added["id"]).code == 0
    assert [one["paused"] for one in json.loads(made("list", "talk", "--json").out)["webhooks"]] == [
        True,
        False,
    ]
    assert "paused" in made("list", "talk").out
    assert made("resume", "talk", added["id"]).code == 0
    assert made("remove", "talk", added["id"]).code == 0
    assert listed(made) == [second]


def test_messages_are_shown_sent_again_and_discarded(made, tmp_path):
    hook = json.loads(made("add", "talk", URL, *LOCAL, "--json").out)["id"]
    assert "nothing was told" in made("deliveries", "talk", hook).out
    assert made("test", "talk", hook).code == 0
    (entry,) = json.loads(made("deliveries", "talk", hook, "--json").out)["deliveries"]
    assert (entry["event"], entry["state"], entry["attempts"]) == ("test", "waiting", [])
    store = open_store(tmp_path / "labels.db")
    with store.write() as tx:
        message = outbox.claim(tx, 1000)
        outbox.settle(tx, message, outbox.Attempt(None, "no reply\x1b[2J", 5), None)
        assert projects.named(tx, "talk")
    store.close()
    shown = made("deliveries", "talk", hook).out
    assert "dead" in shown
    assert "reply" in shown
    assert "\x1b[2J" not in shown
    assert made("redeliver", "talk", hook, entry["id"]).code == 0
    assert json.loads(made("deliveries", "talk", hook, "--json").out)["deliveries"][0]["state"] == "waiting"
    assert made("discard", "talk", hook, entry["id"]).code == 0
    assert json.loads(made("deliveries", "talk", hook, "--json").out)["deliveries"] == []


def test_what_cannot_be_done_is_told(made):
    hook = json.loads(made("add", "talk", URL, *LOCAL, "--json").out)["id"]
    unknown = f"talk has no webhook {hook + 1}"
    for arguments, said in (
        (("add", "talk", URL, "--event", "item.finish", *LOCAL), "there is: item.finished, project.finished"),
        (("add", "talk", URL), "does not lead to the public internet"),
        (("add", "talk", "", *LOCAL), "address"),
        (("add", "nothing", URL, *LOCAL), "there is no project 'nothing'"),
        (("list", "nothing"), "there is no project 'nothing'"),
        *(((what, "talk", hook + 1), unknown) for what in ("test", "pause", "resume")),
        *(((what, "talk", hook + 1), unknown) for what in ("remove", "deliveries")),
        *(((what, "talk", hook, 7), "has no message 7") for what in ("redeliver", "discard")),
    ):
        done = made(*arguments)
        assert (done.code, said in done.err) == (2, True), (arguments, done.err)
