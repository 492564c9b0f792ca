import httpx
import numpy as np
import pytest
from office import pair, project, several, somebody

from gnomon.errors import ConfigError, DataError
from gnomon.labelling.client import LabelClient, RefusedError
from gnomon.labelling.export import rows
from gnomon.labelling.host import here, summary_of, there
from gnomon.labelling.server import listen, serving
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.simulate import Truth, join, known_better, known_of, planted, settle, work
from gnomon.labelling.store import people, projects
from gnomon.records import Comparison, Conversation, Demonstration, Label, Message
from gnomon.stats.crowd import Habits, hire

SIZE, SPAM = 6, 1 / 3
CROWD = hire(SIZE, Habits(reliability=(3.0, 0.3), spam=SPAM), 4)


def said(text):
    return [{"role": "assistant", "content": text}]


ASKED = [{"role": "user", "content": "Why?"}]


def test_the_truth_is_one_number_for_each_answer():
    truth = Truth({}, 0)
    one, two, three = (said(text) for text in ("one", "two", "three"))
    first = truth.difference(ASKED, one, two)
    assert truth.difference(ASKED, two, one) == pytest.approx(-first)
    assert first + truth.difference(ASKED, two, three) == pytest.approx(truth.difference(ASKED, one, three))
    assert Truth({}, 1).difference(ASKED, one, two) != first
    drawn = [truth.difference(ASKED, said(f"{k}"), said(f"other {k}")) for k in range(4000)]
    assert (np.mean(drawn), np.std(drawn)) == (pytest.approx(0, abs=0.05), pytest.approx(1, abs=0.05))


def test_what_is_known_to_be_better_is_better_by_as_much():
    plain = Truth({}, 0).difference(ASKED, said("one"), said("two"))
    for better, sign in ((0, 1), (1, -1)):
        known = known_better([(ASKED, [said("one"), said("two")], better)])
        assert Truth(known, 0).difference(ASKED, said("one"), said("two")) == pytest.approx(sign * abs(plain))


def test_comparisons_say_what_is_better_and_ties_and_others_do_not():
    one, two = (Message("assistant", text) for text in ("one", "two"))
    asked = Conversation.of("Why?")
    rows = [Comparison("a", asked, (one,), (two,), Label(0.0, "constructed"))]
    rows.append(Comparison("b", asked, (one,), (Message("assistant", "three"),), Label(0.5, "constructed")))
    assert known_of(rows) == known_better([(ASKED, [said("one"), said("two")], 1)])
    with pytest.raises(DataError, match="no comparison"):
        known_of([Demonstration("c", asked.then(one))])


def crowded(store, slug, items=8):
    gold = [pair(f"gold-{k}", "gold", k % 2) for k in range(items // 8 + 1)]
    settings = ProjectSettings(overlap=4, gold_rate=0.2, repeat_rate=0.1, repeat_gap=5)
    return project(store, [*(pair(f"pair-{k}") for k in range(items)), *gold], settings, slug)


def simulated(host, slug):
    """Everybody comes in by a link and judges until there is nothing left; names, planted, found."""
    truth = Truth(host.known, CROWD.seed)
    clients, names = [], []
    for number in range(SIZE):
        key = join(host.url, host.invite("annotator"), f"{slug} {number}")
        clients.append(LabelClient(host.url, key))
        names.append(host.members()[-1])
    done = []
    work(clients, slug, CROWD, truth, done.append)
    for client in clients:
        client.close()
    return planted(CROWD, names), host.summary(), done


def sources(store, slug):
    """Who judged, as exported rows say."""
    with store.read() as tx:
        return {row["source"] for row in rows(tx, projects.named(tx, slug).id)}


def test_spammers_of_a_small_crowd_are_the_least_reliable(store):
    """End to end over HTTP: six simulated annotators, two of whom do not read."""
    crowded(store, "one", items=60)
    with here(store, "one", seed=4) as host:
        true, found, done = simulated(host, "one")
        assert done[-1] == found["labels"] > 60 * 4
        assert done[-1] >= host.wanted(SIZE) == 60 * 4
    people_found = found["annotators"]
    order = sorted(people_found, key=lambda name: people_found[name]["reliability"]["value"])
    assert {name for name in true if true[name]["spam"]} == set(order[:2])
    bits = sorted(people_found, key=lambda name: people_found[name]["informativeness"]["value"])
    assert set(bits[:2]) == set(order[:2])
    first = next(name for name in true if true[name]["spam"] == "first")
    assert people_found[first]["left"]["value"] > 0.9
    assert people_found[first]["position"]["low"] > 1
    honest = order[2:]
    assert all(people_found[name]["gold"]["value"] > 0.5 for name in honest)
    assert max(people_found[name]["median_seconds"] for name in order[:2]) < 10
    assert summary_of(store, "one") == found
    assert sources(store, "one") == {"planted"}


def test_the_same_seed_gives_the_same_labels(store):
    found = []
    for slug in ("one", "two"):
        crowded(store, slug)
        with here(store, slug, seed=4) as host:
            true, summary, _ = simulated(host, slug)
        found.append([summary["annotators"][name]["outcomes"] for name in true] + [summary["divided"]])
    assert found[0] == found[1]


def test_a_server_elsewhere_is_simulated_into_by_a_key(store):
    crowded(store, "one")
    admin = somebody(store, site_admin=True)
    with store.write() as tx:
        key = people.create_key(tx, admin.id, {"manage", "read"})
    with serving(store, listen("127.0.0.1", 0)) as url:
        with there(url, key, "one") as host:
            true, found, _ = simulated(host, "one")
        assert found == summary_of(store, "one")
        assert sources(store, "one") == {"planted"}
        assert set(true) == set(found["annotators"])
        with pytest.raises(ConfigError, match="has labels already"), there(url, key, "one"):
            pass
    with pytest.raises(ConfigError, match="has labels already"), here(store, "one", 0):
        pass


def test_one_who_is_right_decides_what_the_crowd_disagrees_on(store):
    crowded(store, "one", items=30)
    with here(store, "one", seed=4) as host:
        simulated(host, "one")
        key = join(host.url, host.invite("adjudicator"), "judge", "adjudicate")
        with LabelClient(host.url, key) as judge:
            count = settle(judge, "one", Truth(host.known, CROWD.seed))
        found = host.summary()["adjudication"]
    assert found["decided"] == count > 5
    assert found["majority"]["value"] < 0.5, "most of the crowd reads, and its majority is mostly right"
    assert found["model"]["value"] <= found["majority"]["value"]


def test_the_crowd_ranks_what_is_to_be_ranked(store):
    """Who reads ranks by quality and noise: what is best comes first far more often than last."""
    items = [several(f"many-{k}") for k in range(20)]
    project(store, items, ProjectSettings(overlap=4, gold_rate=0, repeat_rate=0), "one")
    with here(store, "one", seed=4) as host:
        simulated(host, "one")
        assert host.summary()["rankings"]["tau"]["value"] > 0.1
    truth, firsts, lasts = Truth({}, CROWD.seed), 0, 0
    with store.read() as tx:
        found = list(rows(tx, projects.named(tx, "one").id))
    for row in found:
        texts, last = row["responses"], row["responses"][-1]
        best = max(range(4), key=lambda place: truth.difference(row["prompt"], texts[place], last))
        firsts += row["ranks"][best] == 1
        lasts += row["ranks"][best] == 4
    assert len(found) == 80
    assert firsts > 3 * lasts


def test_a_link_lets_one_in_once(store):
    crowded(store, "one")
    with here(store, "one", seed=0) as host:
        link = host.invite("annotator")
        join(host.url, link, "Ada")
        with pytest.raises(RefusedError, match="Bob was not let in"):
            join(host.url, link, "Bob")
        assert httpx.get(f"{host.url}/api/v1/projects").status_code == 401
