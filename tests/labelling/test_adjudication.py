import json
import re
from collections import Counter
from random import Random
from types import SimpleNamespace

import pytest
from office import (
    DRAWN,
    PLAIN,
    all_of,
    arrive,
    exported,
    key,
    lines,
    pair,
    pairs,
    project,
    running,
    somebody,
    together,
    turn,
)

from gnomon.labelling.adjudication import Bench, Case
from gnomon.labelling.client import LabelClient, RefusedError
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.queue import Queue, Task, TaskGoneError, Turn
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.store import cases, journal, people, projects
from gnomon.labelling.store.tables import assignments, decisions, events, labels
from gnomon.labelling.tally import summary

TWO = PLAIN.model_copy(update={"overlap": 2})
TIE, OPEN = Judgement(choice="tie"), Judgement(choice="skip")
FLAGGED = Judgement(choice="tie", left_flags={"harmful"})


def towards(task, place: int, **more) -> Judgement:
    """A preference for one of a pair's answers, whatever side it stands on."""
    word = ("first", "second")[place]
    side = "left" if task.responses[0][0]["content"].endswith(word) else "right"
    return Judgement(choice=side, strength=more.pop("strength", 2), **more)


def vote(queue: Queue, who: Turn, how) -> str:
    """One vote on whatever comes: a place that is preferred, or a judgement; which pair it was about."""
    task = queue.next(who)
    judgement = towards(task, how) if isinstance(how, int) else how
    queue.submit(who, task.token, judgement, f"key-{task.token}")
    return task.prompt[0]["content"]


@pytest.fixture
def divided(store):
    """A pair on which two people differ, and what else there is to do it with."""
    made = project(store, pairs(1), TWO)
    queue, voters = Queue(store), [turn(store, made) for _ in range(2)]
    for place, who in enumerate(voters):
        vote(queue, who, place)
    return SimpleNamespace(made=made, queue=queue, voters=voters, bench=Bench(store))


@pytest.mark.parametrize(
    ("said", "adjudicate", "flagged", "is_case"),
    [
        ((0, 1), "opposed", False, True),
        ((0, 0), "opposed", False, False),
        ((0, TIE), "opposed", False, False),
        ((0, TIE), "different", False, True),
        ((TIE, Judgement(choice="both_bad")), "different", False, True),
        ((TIE, TIE), "different", False, False),
        ((1, 1), "different", True, False),
        ((TIE, FLAGGED), "never", True, True),
        ((TIE, FLAGGED), "never", False, False),
        ((0, 1), "never", False, False),
    ],
)
def test_which_pairs_come_to_be_decided_is_a_setting(store, said, adjudicate, flagged, is_case):
    settings = TWO.model_copy(update={"adjudicate": adjudicate, "adjudicate_flagged": flagged})
    made = project(store, pairs(1), settings)
    for how in said:
        vote(Queue(store), turn(store, made), how)
    given = Bench(store).next(turn(store, made))
    assert isinstance(given, Case) == is_case
    with store.read() as tx:
        assert cases.count(tx, made.id, settings) == is_case


def test_a_pair_waits_until_all_its_votes_are_in(store):
    made = project(store, pairs(1), PLAIN.model_copy(update={"overlap": 3}))
    queue, bench, judge = Queue(store), Bench(store), turn(store, made)
    voters = [turn(store, made) for _ in range(3)]
    vote(queue, voters[0], 0)
    vote(queue, voters[1], 1)
    assert bench.next(judge) == "done"
    queue.next(voters[2])
    assert bench.next(judge) == "done", "the third vote is under way"
    vote(queue, voters[2], 1)
    assert isinstance(bench.next(judge), Case)
    with pytest.raises(TaskGoneError, match="no such task"):
        queue.submit(judge, bench.next(judge).token, TIE, "key-12345")
    assert bench.standing(judge) == (0, 1)


def test_known_answers_are_no_disagreements(store):
    settings = PLAIN.model_copy(update={"gold_rate": 1.0})
    made = project(store, [pair("known", "gold", 0)], settings)
    for place in range(2):
        vote(Queue(store), turn(store, made), place)
    assert Bench(store).next(turn(store, made)) == "done"


def test_a_case_shows_what_was_said_and_not_by_whom(store, divided):
    made, bench = divided.made, divided.bench
    case = bench.next(turn(store, made))
    assert (sum(case.said.left), sum(case.said.right), case.said.tie) == (1, 1, 0)
    order = next(row["shown_order"] for row in all_of(store, assignments) if row["token"] == case.token)
    assert [one[0]["content"] for one in case.responses] == [
        f"pair-0, {('first', 'second')[place]}" for place in order
    ]
    assert bench.next(turn(store, made)) == "done", "it is in somebody's hands"


def test_the_order_of_the_answers_is_drawn_for_each_hearing(store):
    made = project(store, pairs(40), TWO)
    queue = Queue(store)
    for place in range(2):
        who = turn(store, made)
        while isinstance(task := queue.next(who), Task):
            queue.submit(who, task.token, towards(task, place), f"key-{task.token}")
    bench, judge = Bench(store, Random(0)), turn(store, made)
    while isinstance(case := bench.next(judge), Case):
        bench.decide(judge, case.token, Judgement(choice="left", strength=1), f"key-{case.token}")
    hearings = [row for row in all_of(store, assignments) if row["pass_number"] == 0]
    assert len(hearings) == 40
    assert 10 <= sum(row["shown_order"] == [1, 0] for row in hearings) <= 30  # 20 expected, deviation 3.2
    kept = {row["assignment_id"]: row["preferred"] for row in all_of(store, decisions)}
    assert all(kept[row["id"]] == row["shown_order"][0] for row in hearings)
    assert [row["propensity"] for row in hearings[:2]] == [1 / 40, 1 / 39]


def test_a_decision_stands_beside_the_votes_and_is_in_the_log(store, divided):
    made, bench = divided.made, divided.bench
    before = (all_of(store, labels), all_of(store, events))
    judge = turn(store, made)
    case = bench.next(judge)
    for _ in range(3):  # the same request, sent again
        bench.decide(judge, case.token, towards(case, 1, rationale="it is so"), "key-12345")
    assert all_of(store, labels) == before[0]
    assert all_of(store, events)[:2] == before[1]
    (row,) = all_of(store, decisions)
    assert (row["outcome"], row["preferred"], row["rationale"]) == ("prefer", 1, "it is so")
    assert row["seen"] == [vote["id"] for vote in before[0]]
    with store.read() as tx:
        (_, entry), *_ = journal.entries(tx, made.id, 1)
    assert (entry.action, entry.detail["item"], entry.detail["event"]) == (
        "item adjudicated",
        "pair-0",
        row["id"],
    )
    assert bench.next(turn(store, made)) == "done"
    for key_ in ("another-key", "key-12345"):
        with pytest.raises(TaskGoneError, match="decided already"):
            bench.decide(judge, case.token, TIE, key_)


def test_nobody_decides_on_their_own_vote_or_votes_on_what_they_heard(store, divided):
    made, bench, queue, voters = divided.made, divided.bench, divided.queue, divided.voters
    for who in voters:
        assert bench.next(who) == "done"
    judge = turn(store, made)
    case = bench.next(judge)
    bench.release(judge, case.token)
    queue.undo(voters[0], queue.last(voters[0]))
    queue.submit(voters[0], queue.next(voters[0]).token, OPEN, "key-12345")
    assert queue.next(judge) == "done", "one vote is wanted again, and not from who has seen the others"
    assert isinstance(queue.next(turn(store, made)), Task)


def test_what_is_left_open_goes_to_others(store, divided):
    made, bench = divided.made, divided.bench
    ada, ben = turn(store, made), turn(store, made)
    bench.decide(ada, bench.next(ada).token, OPEN, "key-12345")
    assert bench.next(ada) == "done"
    case = bench.next(ben)
    with pytest.raises(TaskGoneError, match="left open and then given"):
        bench.undo(ada, bench.last(ada))
    bench.decide(ben, case.token, TIE, "key-12345")
    assert [row["outcome"] for row in all_of(store, decisions)] == ["skip", "tie"]
    with store.read() as tx:
        assert cases.decided(tx, made.id) == {1}


def test_an_undone_decision_counts_no_more_and_is_asked_again_as_it_was_shown(store, divided):
    made, bench = divided.made, divided.bench
    judge = turn(store, made)
    case = bench.next(judge)
    bench.decide(judge, case.token, towards(case, 0), "key-first")
    assert bench.standing(judge) == (1, 0)
    again = bench.undo(judge, bench.last(judge))
    assert (again.token, again.responses, again.earlier) == (case.token, case.responses, towards(case, 0))
    assert bench.undo(judge, case.token) == again == bench.next(judge)
    assert all_of(store, decisions) == []
    assert bench.standing(judge) == (0, 1)
    bench.decide(judge, case.token, TIE, "key-second")
    assert [row["kind"] for row in all_of(store, events)] == [
        "label",
        "label",
        "decision",
        "undo",
        "decision",
    ]


def test_a_hearing_that_takes_too_long_goes_to_others(store, divided, clock):
    made, bench = divided.made, divided.bench
    ada, ben, cy = (turn(store, made) for _ in range(3))
    case = bench.next(ada)
    clock.pass_minutes(31)
    taken = bench.next(ben)
    with pytest.raises(TaskGoneError, match="went to somebody else"):
        bench.decide(ada, case.token, TIE, "key-12345")
    bench.release(ben, taken.token)
    bench.decide(ada, case.token, TIE, "key-12345")  # late, and nobody else's
    assert bench.next(cy) == "done"
    for act in (bench.undo, bench.release, lambda who, token: bench.decide(who, token, TIE, "key-12345")):
        with pytest.raises(TaskGoneError, match="no such case"):
            act(cy, case.token)


def test_many_who_ask_at_once_never_hear_the_same_case(store):
    made = project(store, pairs(6), TWO)
    queue = Queue(store)
    for place in range(2):
        who = turn(store, made)
        while isinstance(task := queue.next(who), Task):
            queue.submit(who, task.token, towards(task, place), f"key-{task.token}")
    bench, judges = Bench(store), [turn(store, made) for _ in range(12)]
    given = together(12, lambda number: bench.next(judges[number]))
    assert Counter(type(one) for one in given) == {Case: 6, str: 6}
    assert len({case.prompt[0]["content"] for case in given if isinstance(case, Case)}) == 6
    held = [row["item_id"] for row in all_of(store, assignments) if row["pass_number"] == 0]
    assert len(held) == len(set(held)) == 6


def ready(store, count: int = 2):
    """A project with cases: the first answer has two votes of three, the second one with a reason."""
    drawn = [item.model_copy(update={"drawn": DRAWN}) for item in pairs(count)]
    made = project(store, drawn, PLAIN.model_copy(update={"overlap": 3}))
    queue, pseudonyms = Queue(store), []
    for place in (0, 0, 1):
        who = somebody(store, made)
        pseudonyms.append(who.pseudonym)
        own = Turn(made, who.id)
        while isinstance(task := queue.next(own), Task):
            judgement = towards(task, place, rationale="A says <b>more</b>" if place else "")
            queue.submit(own, task.token, judgement, f"key-{task.token}")
    return made, pseudonyms


def test_decisions_over_the_wire_and_in_exports_and_statistics(store):
    made, _ = ready(store)
    with running(store) as url:
        with LabelClient(url, key(store, made, "adjudicator")) as judge:
            case = judge.next_case("p").case
            assert judge.standing_of_cases("p").model_dump() == {"done": 0, "left": 2}
            judge.decide("p", case.token, towards(case, 1, rationale="sources"))
            assert judge.undo_decision("p", case.token).earlier.rationale == "sources"
            judge.decide("p", case.token, towards(case, 1))
            judge.release_case("p", judge.next_case("p").case.token)
            judge.decide("p", judge.next_case("p").case.token, OPEN)
            assert judge.next_case("p").state == "done"
            with pytest.raises(RefusedError, match="permission to read"):
                judge.statistics("p")
        with LabelClient(url, key(store, made, "viewer")) as viewer:
            assert viewer.statistics("p")["adjudication"] == {
                "waiting": 1, "decided": 1, "open": 1, "majorities": 1, "overruled": 1,
            }  # fmt: skip
            with viewer.export("p") as pieces:
                rows = [json.loads(line) for line in b"".join(pieces).splitlines()]
    assert [row["label_source"] for row in rows] == ["vote"] * 6 + ["adjudicated"] * 2
    settled = rows[6]["item"]
    assert {row["item"]: row["decided"] for row in rows} == {settled: True, rows[7]["item"]: False}
    assert (rows[6]["preferred"], rows[6]["pass_number"], rows[6]["source"]) == (1, 0, "person")
    assert len(rows[6]["seen"]) == 3
    assert {row["drawn"]["digest"] for row in rows} == {"secret-digest"}, "decisions say it too"
    comparisons = lines(exported(store, made, "comparisons"))
    assert Counter(row["id"].split("/")[0] for row in comparisons) == {settled: 1, rows[7]["item"]: 3}
    (one,) = [row for row in comparisons if row["label"].get("adjudicated")]
    assert (one["id"].split("/")[0], one["label"]["preference"]) == (settled, 0.0)
    trl = [row["chosen"][0]["content"] for row in lines(exported(store, made, "trl"))]
    assert [text for text in trl if text.startswith(settled + ",")] == [f"{settled}, second"]
    assert len(trl) == 4


def test_what_adjudicators_may_not_know_is_on_no_page_and_in_no_json(store):
    made, pseudonyms = ready(store)
    seen = []
    with running(store) as url:
        with LabelClient(url, key(store, made, "adjudicator")) as judge:
            judge._http.event_hooks["response"] = [lambda reply: seen.append(reply.read().decode())]
            while (given := judge.next_case("p")).case:
                judge.decide("p", given.case.token, OPEN)
                judge.undo_decision("p", given.case.token)
                judge.decide("p", given.case.token, OPEN)
        with arrive(store, url, made, "adjudicator") as ada:
            page = ada.get("/p/p/adjudicate").text
            seen.append(page)
            assert page.count("A says &lt;b&gt;more&lt;/b&gt;") == 2, "rendered, and as it is"
            assert "<b>more" not in page
            own = re.search(r'class="who">([^<]+)<', page)[1]
    assert len(seen) > 6
    for text in seen:
        for secret in (
            *pseudonyms,
            "secret-model",
            "secret-digest",
            "logps",
            "shown_order",
            "annotator",
            "item_id",
            "pair-0/",
            '"seen"',
        ):
            assert secret not in text, secret
    assert own not in pseudonyms


def test_the_page_works_without_scripts_and_the_results_say_what_came_of_it(store):
    made, _ = ready(store, 1)
    with running(store) as url:
        with arrive(store, url, made, "adjudicator", name="Ben") as ben:
            assert "/p/p/adjudicate" in ben.get("/").text
            page = ben.get("/p/p/adjudicate").text
            action = re.search(r'action="(/p/p/adjudicate/[^"]+/decide)"', page)[1]
            fields = dict(re.findall(r'name="(csrf|key)" value="([^"]*)"', page))
            reply = ben.post(action, data={**fields, "choice": "both_bad"})
            assert (reply.status_code, reply.headers["location"]) == (303, "/p/p/adjudicate")
            assert "Nothing to decide" in ben.get("/p/p/adjudicate").text
            assert ben.get("/p/p/results").status_code == 403
        with arrive(store, url, made, "viewer", name="Eve") as eve:
            text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", eve.get("/p/p/results").text))
    assert "wait for a decision 0 decided 1 left open 0 majority overruled 1 of 1" in text


def test_a_role_can_be_changed_and_the_log_says_so(store):
    made = project(store, pairs(1))
    ben = somebody(store, made)
    with store.write() as tx:
        secret = people.create_key(tx, ben.id, {"label", "adjudicate"})
    with running(store) as url, LabelClient(url, key(store, made, "admin")) as admin:
        with LabelClient(url, secret) as client:
            with pytest.raises(RefusedError, match="permission to adjudicate"):
                client.next_case("p")
            assert admin.set_role("p", ben.pseudonym, "adjudicator").role == "adjudicator"
            assert client.next_case("p").state == "done"
        assert "role changed" in [line["action"] for line in admin.audit("p")]
        with pytest.raises(RefusedError, match="nobody of this pseudonym"):
            admin.set_role("p", "a-nobody", "viewer")


def test_settings_of_before_still_stand(store):
    made = project(store, [], ProjectSettings())
    with store.read() as tx:
        assert projects.named(tx, "p").settings.adjudicate == "opposed"
        assert summary(tx, made)["adjudication"]["waiting"] == 0
