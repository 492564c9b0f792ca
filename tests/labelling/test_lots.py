"""Draws by lot: with the probability that is kept, and at a cost that does not grow with what there is."""

import re
import sqlite3
from collections import Counter
from math import sqrt
from random import Random

import pytest
from listening import hook
from office import PLAIN, all_of, pair, pairs, project, turn
from sqlalchemy import event, insert, true, update

from gnomon.labelling.adjudication import Bench
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.probes import builtin_probes
from gnomon.labelling.queue import MOST_LEFT, Queue, Task, Turn
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.store import lots, projects, work
from gnomon.labelling.store.database import open_store
from gnomon.labelling.store.lots import CIRCLE, NEAR, among, draw, lot_of
from gnomon.labelling.store.tables import assignments, items

TIE, SKIP = Judgement(choice="tie"), Judgement(choice="skip")
DRAWS = 1500


def placed(store, *shares: float):
    """A project whose items stand at these shares of the circle."""
    made = project(store, pairs(len(shares)), PLAIN.model_copy(update={"overlap": 100}))
    with store.write() as tx:
        for number, share in enumerate(shares):
            named = items.c.external_id == f"pair-{number}"
            tx.connection.execute(update(items).where(named).values(lot=int(share * CIRCLE)))
    return made


def drawn(store, rng: Random, count: int) -> list[lots.Drawn]:
    with store.read() as tx:
        return [draw(tx, among(true()), {}, rng) for _ in range(count)]


@pytest.mark.parametrize(
    ("near", "shares", "expected"),
    [
        # the way from the item before it, and, with two to choose from, half of that from the second before
        (1, (0, 0.1, 0.5), (0.5, 0.1, 0.4)),
        (2, (0, 0.1, 0.5), (0.45, 0.3, 0.25)),
        (2, (0.5, 0, 0.1), (0.25, 0.45, 0.3)),
        (2, (0.9, 0.2, 0.3, 0.4), (0.3, 0.4, 0.2, 0.1)),
        (3, (0, 0.1, 0.5), (1 / 3, 1 / 3, 1 / 3)),
        (9, (0.25, 0.25), (0.5, 0.5)),
    ],
)
def test_items_are_drawn_with_the_probability_that_is_kept(store, monkeypatch, near, shares, expected):
    monkeypatch.setattr(lots, "NEAR", near)
    placed(store, *shares)
    keys = [row["id"] for row in all_of(store, items)]
    found = drawn(store, Random(0), DRAWS)
    kept = {one.item_id: one.propensity for one in found}
    assert [kept[key] for key in keys] == pytest.approx(expected, abs=1e-12)
    assert {one.even for one in found} == {near >= len(shares)}
    often = Counter(one.item_id for one in found)
    for key, chance in zip(keys, expected, strict=True):
        assert abs(often[key] / DRAWS - chance) < 4 * sqrt(chance * (1 - chance) / DRAWS)


def test_the_propensities_of_many_items_are_close_to_even_and_sum_to_one(store):
    count = 100
    project(store, pairs(count), PLAIN.model_copy(update={"overlap": 100}))
    found = {(one.item_id, one.propensity) for one in drawn(store, Random(0), DRAWS)}
    assert len(found) == count, "each has one propensity, wherever the draw begins"
    chances = [chance for _, chance in found]
    assert sum(chances) == pytest.approx(1, abs=1e-12)
    assert max(abs(count * chance - 1) for chance in chances) < 4 / sqrt(NEAR)


def test_what_cannot_be_asked_is_not_drawn_and_counts_for_nothing(store, monkeypatch):
    """Neither what somebody has answered, nor what has all its votes, nor what is refused."""
    monkeypatch.setattr(lots, "NEAR", 1)
    made = placed(store, 0, 0.25, 0.5, 0.75)
    (zero, one, two, three), rng, who = (
        (row["id"] for row in all_of(store, items)),
        Random(0),
        turn(store, made),
    )
    with store.write() as tx:
        tx.connection.execute(update(items).where(items.c.id == one).values(wanted=0))
    with store.read() as tx:
        mine = (made.id, who.annotator_id)
        seen = {work.draw(tx, mine, "ordinary", rng)[:2] for _ in range(100)}
        assert seen == {(zero, 0.25), (two, 0.5), (three, 0.25)}
        seen = {work.draw(tx, mine, "ordinary", rng, {three})[:2] for _ in range(100)}
        assert seen == {(zero, 0.5), (two, 0.5)}
        assert work.draw(tx, mine, "ordinary", rng, {zero, two, three}) is None
        assert work.draw(tx, mine, "gold", rng) is None


def test_a_draw_among_many_is_kept_with_the_task(store):
    made = project(store, pairs(NEAR + 20), PLAIN)
    who, queue = turn(store, made), Queue(store, rng=Random(0))
    for _ in range(NEAR + 20):
        queue.submit(who, queue.next(who).token, TIE, "key-12345")
    rows = all_of(store, assignments)
    assert [row["chosen_by"] for row in rows] == ["lot"] * 20 + ["uniform"] * NEAR
    assert [row["propensity"] for row in rows[20:]] == [1 / left for left in range(NEAR, 0, -1)]
    assert sum(1 / row["propensity"] for row in rows[:20]) / 20 == pytest.approx(NEAR + 10.5, rel=0.15)


def test_lots_follow_from_names_and_are_spread_evenly():
    assert lot_of("pair-0") == 0x10128FB1CE7FDC
    placed = sorted(lot_of(f"pair-{number}") / CIRCLE for number in range(1000))
    assert max(abs(lot - (rank + 0.5) / 1000) for rank, lot in enumerate(placed)) < 1.63 / sqrt(1000)


def test_settings_say_how_many_votes_are_wanted_from_then_on(store):
    """The votes there are count on: 2 of 3, then all of 1, then 2 of 2."""
    gold = pair("gold", "gold", 0)
    made = project(store, [pair("one"), gold], PLAIN.model_copy(update={"overlap": 3}))
    queue = Queue(store)
    for _ in range(2):
        who = turn(store, made)
        queue.submit(who, queue.next(who).token, TIE, "key-12345")

    def settled(overlap: int) -> list[int]:
        with store.write() as tx:
            projects.settle(tx, made, PLAIN.model_copy(update={"overlap": overlap}))
        return [row["wanted"] for row in all_of(store, items)]

    assert [row["wanted"] for row in all_of(store, items)] == [1, 1]
    assert settled(1) == [-1, 1]
    assert queue.next(turn(store, made)) == "done"
    assert settled(2) == [0, 1]
    assert settled(3) == [1, 1]
    with store.write() as tx:
        projects.settle(tx, made, PLAIN.model_copy(update={"overlap": 2}))
        projects.add_items(tx, made.id, [pair("two")])
    assert [row["wanted"] for row in all_of(store, items)] == [0, 1, 2]


def test_how_many_are_left_is_counted_up_to_a_bound(store):
    made = project(store, pairs(MOST_LEFT + 5), PLAIN)
    who, queue = turn(store, made), Queue(store)
    assert queue.standing(who) == (0, MOST_LEFT)
    for _ in range(20):
        queue.submit(who, queue.next(who).token, TIE, "key-12345")
    assert queue.standing(who) == (20, MOST_LEFT - 10)


class Steps:
    """Counts what SQLite's machine does on every connection of a store."""

    def __init__(self, store) -> None:
        self.taken = 0
        event.listen(store.engine, "connect", self.count)
        store.engine.dispose()

    def count(self, connection: sqlite3.Connection, record) -> None:
        connection.set_progress_handler(self.step, 1)

    def step(self) -> None:
        self.taken += 1


def steps_of_a_task(place, count: int, answered: int) -> list[int]:
    """Instructions of `next`, `submit`, `standing` and `last` beside so many items and answers of others."""
    store = open_store(place)
    settings = ProjectSettings(overlap=2, gold_rate=0, repeat_rate=0)
    exam = [pair(f"exam-{number}", "qualification", 0) for number in range(3)]
    made = project(store, pairs(count) + exam, settings.model_copy(update={"qualification_pass": 0}))
    other, who, queue = turn(store, made), turn(store, made), Queue(store, rng=Random(0))
    for one, tasks in ((other, answered), (who, 4)):
        for _ in range(tasks):
            queue.submit(one, queue.next(one).token, TIE, "key-12345")
    steps, found, kept = Steps(store), [], []
    for act in (
        lambda: kept.append(queue.next(who)),
        lambda: queue.submit(who, kept[0].token, TIE, "key-12345"),
        lambda: queue.standing(who),
        lambda: queue.last(who),
    ):
        before = steps.taken
        act()
        found.append(steps.taken - before)
    store.close()
    return found


def test_a_task_takes_no_more_work_among_ten_times_as_many_items_and_answers(tmp_path):
    """A query without its index, or one that lists what is open, takes ten times as much."""
    few = steps_of_a_task(tmp_path / "few.db", 300, 60)
    many = steps_of_a_task(tmp_path / "many.db", 3000, 600)
    for act in (0, 1, 3):
        assert 0 < many[act] < 1.3 * few[act], (few, many)
    assert many[2] < 1.3 * MOST_LEFT / 300 * few[2], "what is left is counted up to a bound"


def steps_while_writing(place, count: int) -> int:
    """Instructions that `next` takes of whoever writes, for somebody who has answered all but 5 of so many
    items that want more votes."""
    store = open_store(place)
    made = project(store, pairs(count), PLAIN.model_copy(update={"overlap": 50}))
    who, entered, found = turn(store, made), [], 0
    row = {"project_id": made.id, "annotator_id": who.annotator_id, "pass_number": 1, "shown_order": [0, 1]}
    row |= {"chosen_by": "lot", "propensity": 1, "state": "done", "created_at": 0, "expires_at": 0}
    with store.write() as tx:
        tx.connection.execute(
            insert(assignments),
            [{**row, "token": str(item), "item_id": item} for item in range(1, count - 4)],
        )
    steps = Steps(store)

    @event.listens_for(store.engine, "begin")
    def enter(connection) -> None:
        entered.append(steps.taken)

    @event.listens_for(store.engine, "commit")
    def leave(connection) -> None:
        nonlocal found
        if connection.get_execution_options().get("writes"):
            found += steps.taken - entered[-1]

    assert isinstance(Queue(store, rng=Random(0)).next(who), Task)
    store.close()
    return found


def test_what_is_searched_long_keeps_nobody_from_writing(tmp_path):
    """A draw looks at each item that is open until it finds enough that are new to somebody."""
    few, many = (steps_while_writing(tmp_path / f"{count}.db", count) for count in (300, 3000))
    assert 0 < many < 1.3 * few, (few, many)


def test_nothing_is_counted_over_a_project_while_others_wait_to_write(tmp_path):
    """Neither for tasks nor for cases."""
    store = open_store(tmp_path / "labels.db")
    made = project(store, pairs(3), PLAIN.model_copy(update={"overlap": 2}))
    queue, bench, said = Queue(store), Bench(store), []
    for strength in (1, 2):
        who = turn(store, made)
        for _ in range(3):
            task = queue.next(who)
            side = "left" if task.responses[0][0]["content"].endswith("first") == (strength == 1) else "right"
            queue.submit(who, task.token, Judgement(choice=side, strength=strength), "key-12345")

    def keep(connection, cursor, statement, parameters, context, many) -> None:
        said.append((bool(connection.get_execution_options().get("writes")), statement))

    event.listen(store.engine, "before_cursor_execute", keep)
    judge = turn(store, made)
    for _ in range(3):
        bench.decide(judge, bench.next(judge).token, TIE, "key-12345")
    assert bench.next(judge) == "done"
    assert queue.next(judge) == "done"
    grouped = {writes for writes, statement in said if "GROUP BY" in statement}
    assert grouped == {False}
    store.close()


def plans(store, act) -> list[str]:
    """How SQLite looks things up in what is done: a line for each table of each statement."""
    said = []

    def keep(connection, cursor, statement, parameters, context, many) -> None:
        said.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", keep)
    act()
    event.remove(store.engine, "before_cursor_execute", keep)
    with store.engine.connect() as connection:
        return [
            line[3]
            for statement, parameters in said
            if not statement.startswith("BEGIN")
            for line in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


def test_everything_on_the_way_of_a_task_is_looked_up_by_more_than_its_project(tmp_path):
    """With repeats, gold, probes, and a webhook that is told of every vote."""
    store = open_store(tmp_path / "labels.db")
    exam = [pair(f"exam-{number}", "qualification", 0) for number in range(3)]
    gold = [pair(f"gold-{number}", "gold", 0) for number in range(3)]
    rates = {"gold_rate": 0.3, "repeat_rate": 0.3, "probe_rate": 0.3}
    settings = ProjectSettings(**rates, repeat_gap=1, qualification_pass=0)
    made = project(store, [*pairs(60), *exam, *gold, *builtin_probes()], settings)
    hook(store, made)
    who, queue = turn(store, made), Queue(store, rng=Random(0))

    def live() -> None:
        for _ in range(45):
            queue.submit(who, queue.next(who).token, TIE, "key-12345")
            queue.standing(who)
            queue.last(who)

    found = {line for line in plans(store, live) if re.search(r"\b(items|assignments|events|later)", line)}
    assert len(found) > 8
    assert {row["chosen_by"] for row in all_of(store, assignments)} >= {"lot", "repeat", "gold", "probe"}
    assert [line for line in found if re.search(r"^SCAN|\(project_id=\?\)$", line)] == []
    store.close()


def asking(who: Turn, **settings) -> Turn:
    """The same person, of whose project other settings hold for the moment."""
    return Turn(who.project._replace(settings=ProjectSettings(**settings)), who.annotator_id)


def test_what_somebody_answered_long_ago_is_repeated_and_skips_and_gold_are_not(store):
    """Of 8 answers the last 3 are too new; of the others one is gold, one a skip, one was repeated."""
    gold = [pair("gold", "gold", 0)]
    made = project(store, pairs(9) + gold, ProjectSettings(gold_rate=0, repeat_rate=0, repeat_gap=3))
    who, queue, said = turn(store, made), Queue(store, rng=Random(1)), []
    for number in range(8):
        task = queue.next(asking(who, gold_rate=1, repeat_rate=0) if number == 2 else who)
        queue.submit(who, task.token, SKIP if number == 1 else TIE, "key-12345")
        said.append(next(row["item_id"] for row in all_of(store, assignments) if row["token"] == task.token))
    with store.read() as tx:
        assert work.repeatable(tx, made.id, who.annotator_id, 3) == [said[0], said[3], said[4]]
        assert work.repeatable(tx, made.id, who.annotator_id, 7) == [said[0]]
        assert work.repeatable(tx, made.id, who.annotator_id, 8) == []
    again = who.__class__(
        made._replace(settings=ProjectSettings(repeat_rate=1, repeat_gap=7)), who.annotator_id
    )
    queue.submit(who, queue.next(again).token, TIE, "key-12345")
    queue.undo(who, queue.last(who))
    with store.read() as tx:
        assert work.repeatable(tx, made.id, who.annotator_id, 3) == [said[3], said[4]]
