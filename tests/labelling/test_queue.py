from collections import Counter
from random import Random

import pytest
from office import PLAIN, all_of, pair, pairs, project, several, together, turn
from sqlalchemy import func, select

from gnomon.labelling.judgement import Judgement, Ordering
from gnomon.labelling.queue import Queue, Task, TaskGoneError
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.store import projects
from gnomon.labelling.store.tables import assignments, events, items, labels
from gnomon.labelling.store.work import Draw, return_expired

TIE, SKIP = Judgement(choice="tie"), Judgement(choice="skip")
LEFT = Judgement(choice="left", strength=4)


def first_text(task: Task) -> list[str]:
    return [messages[0]["content"] for messages in task.responses]


def answer_all(queue: Queue, who, judgement=TIE, most: int = 10**6) -> list[Task]:
    """What somebody was given until nothing was left, each answered the same way."""
    given = []
    while len(given) < most and isinstance(task := queue.next(who), Task):
        queue.submit(
            who, task.token, judgement(task) if callable(judgement) else judgement, f"key-{task.token}"
        )
        given.append(task)
    return given


def test_32_people_who_ask_at_once_never_get_more_than_k_leases_of_an_item(store):
    made = project(store, pairs(10), PLAIN.model_copy(update={"overlap": 2}))
    people, queue = [turn(store, made) for _ in range(32)], Queue(store)
    given = together(32, lambda number: queue.next(people[number]))
    assert Counter(one if isinstance(one, str) else type(one) for one in given) == {Task: 20, "waiting": 12}
    held = Counter(row["item_id"] for row in all_of(store, assignments))
    assert set(held.values()) == {2}
    assert {row["taken"] for row in all_of(store, items)} == {2}


def test_what_is_counted_as_taken_is_what_is_out_or_answered(store, clock):
    """After everything that can happen to a task, by several people at once."""
    made = project(store, pairs(12), PLAIN.model_copy(update={"overlap": 3}))
    people, queue = [turn(store, made) for _ in range(8)], Queue(store)

    def live(number: int) -> None:
        who, rng = people[number], Random(number)
        for step in range(10):
            task = queue.next(who)
            if not isinstance(task, Task):
                return
            if rng.random() < 0.2:
                queue.release(who, task.token)
                continue
            queue.submit(who, task.token, SKIP if rng.random() < 0.3 else TIE, f"key-{number}-{step}")
            if rng.random() < 0.2:
                try:
                    queue.undo(who, task.token)
                except TaskGoneError:
                    continue

    assert together(8, live) == [None] * 8
    clock.pass_minutes(31)
    queue.next(people[0])
    with store.read() as tx:
        out = select(assignments.c.item_id, func.count()).outerjoin(
            labels, labels.c.assignment_id == assignments.c.id
        )
        out = out.where(
            (assignments.c.state == "leased")
            | ((assignments.c.state == "done") & (labels.c.outcome != "skip"))
        )
        wanted = dict(tx.connection.execute(out.group_by(assignments.c.item_id)).all())
    taken = {row["id"]: row["taken"] for row in all_of(store, items)}
    assert taken == {item: wanted.get(item, 0) for item in taken}
    assert max(taken.values()) <= 3


def test_a_lease_that_runs_out_gives_the_task_to_others(store, clock):
    made = project(store, pairs(1))
    ada, ben, queue = turn(store, made), turn(store, made), Queue(store)
    task = queue.next(ada)
    assert queue.next(ben) == "waiting"
    clock.pass_minutes(29)
    assert queue.next(ben) == "waiting"
    clock.pass_minutes(2)
    assert isinstance(queue.next(ben), Task)
    with pytest.raises(TaskGoneError, match="given to somebody else"):
        queue.submit(ada, task.token, TIE, "key-12345")
    assert all_of(store, events) == []


def test_an_answer_that_comes_late_is_kept_where_nobody_else_was_asked(store, clock):
    made = project(store, pairs(1))
    ada, ben, queue = turn(store, made), turn(store, made), Queue(store)
    task = queue.next(ada)
    clock.pass_minutes(60)
    assert queue.next(turn(store, project(store, pairs(1), slug="other"))) != "waiting"
    with store.write() as tx:
        assert return_expired(tx, made.id) == 1
    queue.submit(ada, task.token, LEFT, "key-12345")
    assert queue.next(ben) == "done"
    assert all_of(store, items)[0]["taken"] == 1


def test_the_same_task_is_given_until_it_is_answered(store):
    made = project(store, pairs(5))
    who, queue = turn(store, made), Queue(store)
    assert queue.next(who) == queue.next(who)


def test_one_submit_fired_20_times_is_one_row_and_one_answer(store):
    made = project(store, pairs(3))
    who, queue = turn(store, made), Queue(store)
    task = queue.next(who)
    replies = together(20, lambda _: queue.submit(who, task.token, LEFT, "the-same-key"))
    assert replies == [None] * 20
    assert len(all_of(store, events)) == 1


def test_another_answer_under_the_key_of_one_that_was_kept_is_refused(store):
    """A reply was lost, and what is sent again has been changed meanwhile: time alone does not count."""
    made = project(store, [*pairs(1), several("many", 3)])
    who, queue = turn(store, made), Queue(store)
    for _ in range(2):
        task = queue.next(who)
        said, other = (LEFT, TIE)
        if len(task.responses) > 2:
            said, other = Ordering(ranks=(1, 2, 3)), Ordering(ranks=(1, 2, 2))
        queue.submit(who, task.token, said, "key-12345")
        queue.submit(who, task.token, said.model_copy(update={"active_ms": 7}), "key-12345")
        for changed in (other, said.model_copy(update={"rationale": "no"})):
            with pytest.raises(TaskGoneError, match="answered already; undo that first"):
                queue.submit(who, task.token, changed, "key-12345")
    assert len(all_of(store, events)) == 2


def test_a_task_is_answered_once(store):
    made = project(store, pairs(3))
    who, queue = turn(store, made), Queue(store)
    task = queue.next(who)
    replies = together(20, lambda number: queue.submit(who, task.token, LEFT, f"key-number-{number}"))
    assert sum(reply is None for reply in replies) == 1
    assert all(reply is None or isinstance(reply, TaskGoneError) for reply in replies)
    assert len(all_of(store, events)) == 1


def test_somebody_elses_task_cannot_be_answered_undone_or_returned(store):
    made, other = project(store, pairs(3)), project(store, pairs(3), slug="other")
    ada, ben, cy, queue = turn(store, made), turn(store, made), turn(store, other), Queue(store)
    token = queue.next(ada).token
    for who in (ben, cy):
        for act in (queue.undo, queue.release, lambda who, token: queue.submit(who, token, TIE, "key-12345")):
            with pytest.raises(TaskGoneError, match="no such task"):
                act(who, token)


def test_the_order_is_drawn_for_each_task_and_kept(store):
    made = project(store, pairs(100))
    who, queue = turn(store, made), Queue(store, rng=Random(0))
    tasks = answer_all(queue, who, LEFT)
    orders = {row["token"]: row["shown_order"] for row in all_of(store, assignments)}
    for task in tasks:
        assert first_text(task) == [
            first_text(task)[0].split(",")[0] + (", first" if place == 0 else ", second")
            for place in orders[task.token]
        ]
    swapped = sum(order == [1, 0] for order in orders.values())
    assert 35 <= swapped <= 65  # 50 expected, standard deviation 5
    kept = {row["assignment_id"]: row["preferred"] for row in all_of(store, labels)}
    assert all(kept[row["id"]] == row["shown_order"][0] for row in all_of(store, assignments))


def test_every_draw_has_its_propensity(store):
    made = project(store, pairs(4))
    queue = Queue(store)
    answer_all(queue, turn(store, made))
    rows = all_of(store, assignments)
    assert [row["propensity"] for row in rows] == [1 / 4, 1 / 3, 1 / 2, 1]
    assert {row["chosen_by"] for row in rows} == {"uniform"}


def test_items_are_drawn_uniformly(store):
    made = project(store, pairs(4), PLAIN.model_copy(update={"overlap": 100}))
    queue = Queue(store, rng=Random(1))
    for _ in range(100):
        queue.next(turn(store, made))
    drawn = Counter(row["item_id"] for row in all_of(store, assignments))
    assert set(drawn) == {row["id"] for row in all_of(store, items)}
    assert all(10 <= count <= 40 for count in drawn.values())  # 25 expected, standard deviation 4.3


def test_another_idea_of_what_to_ask_can_take_the_place_of_chance(store):
    made = project(store, pairs(5))
    queue = Queue(store, lambda candidates, rng: Draw(max(candidates), "the newest", 1.0))
    tasks = answer_all(queue, turn(store, made))
    assert [task.prompt[0]["content"] for task in tasks] == [f"Question pair-{n}?" for n in (4, 3, 2, 1, 0)]
    assert {row["chosen_by"] for row in all_of(store, assignments)} == {"the newest"}


def test_an_undone_answer_is_asked_again_as_it_was_shown_and_counts_no_more(store):
    made = project(store, pairs(3))
    who, queue = turn(store, made), Queue(store)
    task = queue.next(who)
    queue.submit(who, task.token, LEFT, "key-first")
    following = queue.next(who)
    assert queue.last(who) == task.token
    again = queue.undo(who, task.token)
    assert (again.token, again.responses, again.earlier) == (task.token, task.responses, LEFT)
    assert queue.undo(who, task.token) == again
    assert all_of(store, labels) == []
    assert queue.next(who) == again
    queue.submit(who, task.token, TIE, "key-second")
    assert [row["outcome"] for row in all_of(store, labels)] == ["tie"]
    assert [row["kind"] for row in all_of(store, events)] == ["label", "undo", "label"]
    assert queue.next(who).token == following.token


def test_a_skipped_task_goes_to_somebody_else_and_not_to_the_same_person(store):
    made = project(store, pairs(1))
    ada, ben, queue = turn(store, made), turn(store, made), Queue(store)
    skipped = queue.next(ada)
    queue.submit(ada, skipped.token, SKIP, "key-12345")
    assert queue.next(ada) == "done"
    assert isinstance(queue.next(ben), Task)
    with pytest.raises(TaskGoneError, match="skipped and then given"):
        queue.undo(ada, skipped.token)


def test_a_released_task_comes_back_to_everybody(store):
    made = project(store, pairs(1))
    ada, ben, queue = turn(store, made), turn(store, made), Queue(store)
    queue.release(ada, queue.next(ada).token)
    task = queue.next(ben)
    queue.release(ben, task.token)
    assert first_text(queue.next(ada))
    assert len(all_of(store, assignments)) == 2


def test_own_tasks_come_again_with_their_sides_swapped(store):
    settings = ProjectSettings(gold_rate=0, repeat_rate=0.3, repeat_gap=5)
    made = project(store, pairs(60), settings)
    tasks = answer_all(Queue(store, rng=Random(0)), turn(store, made), LEFT)
    rows = {(row["item_id"], row["pass_number"]): row for row in all_of(store, assignments)}
    repeats = [key for key in rows if key[1] == 2]
    assert len(tasks) == 60 + len(repeats)
    assert 10 <= len(repeats) <= 40
    for item, _ in repeats:
        assert rows[item, 2]["shown_order"] == rows[item, 1]["shown_order"][::-1]
        assert rows[item, 2]["id"] - rows[item, 1]["id"] > 5
        assert rows[item, 2]["chosen_by"] == "repeat"
    assert {row["taken"] for row in all_of(store, items)} == {1}


def test_gold_comes_at_its_rate_and_to_everybody(store):
    gold = [pair(f"gold-{number}", "gold", 0) for number in range(30)]
    settings = ProjectSettings(gold_rate=0.25, repeat_rate=0, overlap=2)
    made = project(store, pairs(45) + gold, settings)
    queue, seen = Queue(store, rng=Random(0)), []
    for _ in range(2):
        tasks = answer_all(queue, turn(store, made))
        seen.append(sum("gold" in first_text(task)[0] for task in tasks))
        assert len(tasks) == 45 + seen[-1]
    assert all(6 <= count <= 28 for count in seen)  # 15 expected for each


def right(task: Task) -> Judgement:
    side = "left" if first_text(task)[0].endswith("first") else "right"
    return Judgement(choice=side, strength=1)


def test_the_qualification_round_comes_first_and_lets_those_through_who_get_it_right(store):
    exam = [pair(f"exam-{number}", "qualification", 0) for number in range(5)]
    made = project(
        store, pairs(5) + exam, ProjectSettings(gold_rate=0, repeat_rate=0, qualification_pass=0.8)
    )
    queue = Queue(store)
    good, bad = turn(store, made), turn(store, made)
    tasks = answer_all(queue, bad, LEFT, most=0) + answer_all(queue, bad, lambda task: TIE)
    assert all("exam" in first_text(task)[0] for task in tasks)
    assert len(tasks) == 5
    assert queue.next(bad) == "not_qualified"
    tasks = answer_all(queue, good, right)
    assert ["exam" in first_text(task)[0] for task in tasks] == [True] * 5 + [False] * 5
    assert queue.next(good) == "done"


def test_the_qualification_round_is_passed_at_the_first_attempt_or_not(store):
    """Until its last answer each can be taken back; then all stay, also for those who passed."""
    exam = [pair(f"exam-{number}", "qualification", 0) for number in range(2)]
    made = project(store, pairs(1) + exam, ProjectSettings(gold_rate=0, repeat_rate=0, qualification_pass=1))
    queue = Queue(store)
    for judge, then in ((lambda task: TIE, "not_qualified"), (right, Task)):
        who = turn(store, made)
        (first,) = answer_all(queue, who, judge, most=1)
        assert queue.undo(who, queue.last(who)).token == first.token
        queue.submit(who, first.token, judge(first), "key-again")
        (second,) = answer_all(queue, who, judge, most=1)
        assert queue.last(who) is None
        for token in (first.token, second.token):
            with pytest.raises(TaskGoneError, match="first round is over"):
                queue.undo(who, token)
        given = queue.next(who)
        assert given == then or type(given) is then
    (last,) = answer_all(queue, who, judge)
    assert queue.undo(who, queue.last(who)).token == last.token, "what comes after it is undone as ever"


def test_how_many_are_left_does_not_tell_which_tasks_are_gold(store):
    gold = [pair(f"gold-{number}", "gold", 0) for number in range(3)]
    made = project(store, pairs(21) + gold, ProjectSettings(gold_rate=0.5, repeat_rate=0))
    who, queue = turn(store, made), Queue(store)
    assert queue.standing(who) == (0, 30)
    answer_all(queue, who, most=3)
    assert queue.standing(who).left in (20, 30)
    assert queue.standing(who).done == 3


def test_why_there_is_nothing_to_do_is_told(store):
    empty, full = project(store, [], slug="empty"), project(store, pairs(1))
    ada, ben, queue = turn(store, full), turn(store, full), Queue(store)
    assert queue.next(turn(store, empty)) == "empty"
    task = queue.next(ada)
    assert queue.next(ben) == "waiting"
    queue.submit(ada, task.token, TIE, "key-12345")
    assert queue.next(ben) == queue.next(ada) == "done"


def test_the_guidelines_of_the_moment_are_kept_with_the_task(store):
    made = project(store, pairs(2))
    who, queue = turn(store, made), Queue(store)
    assert queue.next(who).guideline_version is None
    queue.submit(who, queue.next(who).token, TIE, "key-12345")
    with store.write() as tx:
        projects.write_guidelines(tx, made.id, "new")
    assert queue.next(who).guideline_version == 1
