import csv
import io
import json
import re
from collections import Counter
from itertools import combinations
from random import Random

import pyarrow.parquet as pq
import pytest
from exported import ranking
from office import DRAWN, PLAIN, all_of, arrive, exported, key, lines, pair, project, running, several, turn
from test_quality import summary

from gnomon.data.formats import load
from gnomon.errors import DataError
from gnomon.labelling.adjudication import Bench
from gnomon.labelling.client import LabelClient, RefusedError
from gnomon.labelling.items import Item, items_of
from gnomon.labelling.judgement import Judgement, Ordering
from gnomon.labelling.queue import Queue, Task
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.store.tables import assignments, labels
from gnomon.labelling.tally import counted
from gnomon.records import Comparison, Ranking

SKIP = Ordering(ranks=None)


def by_place(task, ranks: list[int], **more) -> Ordering:
    """Ranks of the answers by their own places, as an answer to what is shown."""
    shown = [int(answer[0]["content"].rpartition(" ")[2]) for answer in task.responses]
    return Ordering(ranks=tuple(ranks[place] for place in shown), **more)


@pytest.fixture
def ranked(store):
    """A project with one ranking of four answers, a tie in it: the third is best, the first is last."""
    made = project(store, [several("one"), pair("two")])
    queue, who = Queue(store), turn(store, made)
    while isinstance(task := queue.next(who), Task):
        answer = Judgement(choice="tie")
        if len(task.responses) > 2:
            answer = by_place(task, [3, 2, 1, 2], rationale="=1+1", active_ms=900)
        queue.submit(who, task.token, answer, f"key-{task.token}")
    return made


def test_the_order_is_drawn_kept_and_taken_back_into_account(store, ranked):
    (row,) = [row for row in all_of(store, labels) if row["outcome"] == "ranked"]
    assert row["ranks"] == [3, 2, 1, 2]
    orders = [row["shown_order"] for row in all_of(store, assignments)]
    assert sorted(len(order) for order in orders) == [2, 4]
    assert all(sorted(order) == list(range(len(order))) for order in orders)


def test_every_order_of_showing_is_drawn_as_often(store):
    made = project(store, [several("one", 3)], PLAIN.model_copy(update={"overlap": 100}))
    queue = Queue(store, rng=Random(0))
    for _ in range(60):
        queue.next(turn(store, made))
    drawn = Counter(tuple(row["shown_order"]) for row in all_of(store, assignments))
    assert len(drawn) == 6
    assert all(3 <= count <= 19 for count in drawn.values())  # 10 expected, standard deviation 2.9


def test_an_undone_ranking_is_asked_again_as_it_was_shown(store):
    made = project(store, [several("one")])
    queue, who = Queue(store), turn(store, made)
    task = queue.next(who)
    given = Ordering(ranks=(2, 1, 1, 3), flags={3: {"wrong"}}, rationale="so")
    queue.submit(who, task.token, given, "key-12345")
    again = queue.undo(who, task.token)
    assert (again.responses, again.earlier) == (task.responses, given)
    with pytest.raises(DataError, match="a rank for each of 4 answers"):
        queue.submit(who, task.token, Judgement(choice="tie"), "key-23456")
    queue.submit(who, task.token, SKIP, "key-34567")
    assert [row["outcome"] for row in all_of(store, labels)] == ["skip"]
    assert isinstance(queue.next(turn(store, made)), Task), "a skipped ranking goes to somebody else"


def test_a_repeat_turns_the_order_round(store):
    settings = ProjectSettings(gold_rate=0, repeat_rate=1, repeat_gap=1)
    made = project(store, [several("one"), several("two")], settings)
    queue, who = Queue(store), turn(store, made)
    while isinstance(task := queue.next(who), Task):
        queue.submit(who, task.token, by_place(task, [1, 2, 3, 4]), f"key-{task.token}")
    rows = {(row["item_id"], row["pass_number"]): row["shown_order"] for row in all_of(store, assignments)}
    again = [item for item, number in rows if number == 2]
    assert again
    assert all(rows[item, 2] == rows[item, 1][::-1] for item in again)


def test_two_rankings_that_differ_are_no_case(store):
    made = project(store, [several("one")], PLAIN.model_copy(update={"overlap": 2}))
    queue = Queue(store)
    for ranks in ([1, 2, 3, 4], [4, 3, 2, 1]):
        who = turn(store, made)
        task = queue.next(who)
        queue.submit(who, task.token, by_place(task, ranks, flags={0: {"wrong"}}), "key-12345")
    assert Bench(store).next(turn(store, made)) == "done"


def test_rankings_over_the_wire_tell_nobody_who_wrote_what(store):
    made = project(store, [several("one"), several("two", 9)])
    seen = []
    with running(store) as url:
        with LabelClient(url, key(store, made)) as ada:
            ada._http.event_hooks["response"] = [lambda reply: seen.append(reply.read().decode())]
            while task := ada.next("p").task:
                answer = by_place(task, list(range(1, len(task.responses) + 1)), flags={1: {"harmful"}})
                ada.submit("p", task.token, answer)
                assert ada.undo("p", task.token).earlier == answer
                ada.submit("p", task.token, answer)
            with pytest.raises(RefusedError, match="no such task"):
                ada.submit("p", "no-such-token", SKIP)
        with arrive(store, url, project(store, [several("three")], slug="q"), "annotator") as ben:
            seen.append(ben.get("/p/q").text)
    for text in seen:
        for secret in ("secret-model", "shown_order", "propensity", "origin"):
            assert secret not in text, secret


def test_the_form_works_without_scripts_and_closes_gaps(store):
    made = project(store, [several("one"), several("two")])
    with running(store) as url, arrive(store, url, made, "annotator") as ada:
        for ranks, more in (
            (["4", "1", "1", "2"], {"flags": ["2:wrong"]}),
            (["", "", "", ""], {"skip": "yes"}),
        ):
            page = ada.get("/p/p").text
            action = re.search(r'action="(/p/p/tasks/[^"]+/rank)"', page)[1]
            fields = dict(re.findall(r'name="(csrf|key)" value="([^"]*)"', page))
            reply = ada.post(action, data={**fields, "ranks": ["1", "", "2", "3"]})
            assert (reply.status_code, "give each answer a rank" in reply.text) == (422, True)
            reply = ada.post(action, data={**fields, "ranks": ranks, **more})
            assert (reply.status_code, reply.headers["location"]) == (303, "/p/p")
    first, second = all_of(store, labels)
    order = next(row for row in all_of(store, assignments) if row["id"] == first["assignment_id"])[
        "shown_order"
    ]
    assert [first["ranks"][place] for place in order] == [3, 1, 1, 2]
    assert first["flags"] == {str(order[2]): ["wrong"]}
    assert second["outcome"] == "skip"


def test_json_lines_and_tables_have_the_ranks(store, ranked):
    rows = lines(exported(store, ranked, "jsonl"))
    (row,) = [row for row in rows if row["outcome"] == "ranked"]
    assert (row["ranks"], row["preferred"], row["origins"][2]) == ([3, 2, 1, 2], None, "secret-model-2")
    table = pq.read_table(io.BytesIO(exported(store, ranked, "parquet"))).to_pylist()
    assert {own["ranks"] for own in table} == {None, "[3, 2, 1, 2]"}
    cells = csv.DictReader(io.StringIO(exported(store, ranked, "csv").decode(), newline=""))
    assert {own["ranks"] for own in cells} == {"", "[3, 2, 1, 2]"}


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "comparisons"])
def test_implied_pairs_know_that_they_are_of_one_ranking(store, ranked, tmp_path, form):
    ending = {"comparisons": "jsonl"}.get(form, form)
    path = tmp_path / f"labels.{ending}"
    path.write_bytes(exported(store, ranked, form))
    read = load(path).records
    assert all(isinstance(record, Comparison) for record in read)
    implied = [record for record in read if record.label.ranking]
    assert len(read) == 7
    assert [record.id.rpartition("/")[2] for record in implied] == [
        f"{first}-{second}" for first, second in combinations(range(4), 2)
    ]
    assert [record.label.preference for record in implied] == [0.0, 0.0, 0.0, 0.0, 0.5, 1.0]
    assert {record.label.weight for record in implied} == {0.5}
    (name,) = {record.label.ranking for record in implied}
    assert all(record.id.startswith(f"{name}/") for record in implied)
    assert implied[0].chosen[0].content == "one, 1"


def test_rankings_are_read_back_whole(store, ranked, tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_bytes(exported(store, ranked, "rankings"))
    loaded = load(path)
    (record,) = loaded.records
    assert (loaded.dialect, record.source) == ("ranking", "person")
    assert isinstance(record, Ranking)
    best = record.scores.index(max(record.scores))
    assert (record.responses[best], record.scores[1] == record.scores[3]) == ("one, 2", True)
    assert [pair.label.weight for pair in record.comparisons()] == [0.5] * 5  # as in the other forms


def test_rows_of_trl_have_no_ties_and_name_their_ranking(store, ranked):
    rows = lines(exported(store, ranked, "trl"))
    assert len(rows) == 5
    assert len({row["ranking"] for row in rows}) == 1
    worst = [row["rejected"][0]["content"] for row in rows]
    assert worst.count("one, 0") == 3
    assert "one, 2" not in worst


def test_answers_are_imported_to_be_ranked(tmp_path):
    path = tmp_path / "answers.jsonl"
    rows = [{"id": "a", "prompt": "Why?", "answers": ["x", "y", "z"], "origins": ["m", "n", "o"]}]
    rows += [{"id": "b", "prompt": "How?", "answers": [{"text": "x"}, {"text": "y"}]}]
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    loaded = load(path)
    assert loaded.dialect == "answers"
    one, two = items_of(loaded.records)
    assert [response.origin for response in one.responses] == ["m", "n", "o"]
    assert (len(two.responses), two.responses[0].messages[0].content) == (2, "x")
    with pytest.raises(DataError, match="no gold item"):
        list(items_of(loaded.records, "gold"))
    many = Ranking("c", loaded.records[0].prompt, tuple("abcdefghij"))
    with pytest.raises(DataError, match="10 answers; people rank 9 at most"):
        list(items_of([many]))
    with pytest.raises(DataError, match="no scores yet"):
        list(many.comparisons())
    with pytest.raises(ValueError, match="rankings are ordinary"):
        Item.model_validate(several("x").model_dump() | {"purpose": "gold", "expected": 1})
    with pytest.raises(ValueError, match="leave 'drawn' out of a ranking"):
        Item.model_validate(several("x").model_dump() | {"drawn": DRAWN})


def test_two_people_s_orders_are_held_against_each_other():
    """Tau of a reversed order is -1, of the same 1; all equal has none: the mean of two pairs is 0."""
    rows = [ranking("a", "ann", [1, 2, 3]), ranking("a", "bob", [3, 2, 1]), ranking("a", "cat", [1, 1, 1])]
    rows += [ranking("b", "ann", [1, 2, 3]), ranking("b", "bob", [1, 2, 3])]
    rows += [ranking("b", "bob", [3, 2, 1], again=True)]
    found = summary(rows)
    assert (found["rankings"]["given"], found["rankings"]["items"]) == (5, 2)
    assert (found["rankings"]["tau"]["value"], found["rankings"]["tau"]["n"]) == (0, 2)
    assert "nobody ranked" in summary(rows[:1])["rankings"]["tau"]["missing"]
    assert found["outcomes"] == {"ranked": 6}
    counts = counted(rows)
    assert counts["agreement"] is None
    assert counts["annotators"]["bob"]["repeats"] == {"answered": 1, "same": 0}
