"""Dialogues from their first message to their last vote."""

from dataclasses import replace
from math import fsum, isclose

import pytest
from listening import hook
from office import all_of, exported, lines, pair, pairs, project, somebody, together, turn
from talking import LEFT, TIE, Room, Script, live, partner, scripted, tiny, topic

from gnomon.errors import ConfigError, DataError, ModelError
from gnomon.labelling.adjudication import Bench
from gnomon.labelling.dialogue import Dialogues, NoModelError, Talk
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.partner import ATTEMPTS, Writer
from gnomon.labelling.queue import Queue, TaskGoneError, Turn
from gnomon.labelling.settings import LONGEST_MESSAGE
from gnomon.labelling.store import journal, projects
from gnomon.labelling.store.lots import lot_of
from gnomon.labelling.store.tables import assignments, dialogues, exchanges, items, outbox
from gnomon.records import Conversation
from gnomon.rollouts.engine import Sampling


def contents(messages) -> list[str]:
    return [message["content"] for message in messages]


@pytest.fixture
def room(store):
    """Somebody in a project of dialogues of two messages, whose partner follows a script."""
    return Room(store, turn(store, live(store)))


def test_a_dialogue_goes_on_with_the_better_answer_and_every_pair_is_a_comparison(store):
    """With a real engine: what is exported is what the model says again, with its own log-probs."""
    made = live(store)
    room = Room(store, turn(store, made), partner())
    first = room.heard("Hello?")
    assert contents(first.messages) == contents(first.task.prompt) == ["Hello?"]
    shown = contents(answer[0] for answer in first.task.responses)
    room.judge(Judgement(choice="right", strength=4, right_flags=frozenset({"wrong"})))
    second = room.heard("And then?")
    assert contents(second.task.prompt) == ["Hello?", shown[1], "And then?"]
    room.judge()
    assert room.next().token != first.token
    assert room.next().messages == []
    rows = lines(exported(store, made, "jsonl"))
    assert [row["item"] for row in rows] == [f"{first.token}/1", f"{first.token}/2"]
    for row in rows:
        told = row["drawn"]
        assert (row["source"], row["chosen_by"], row["propensity"]) == ("person", "dialogue", 1)
        assert (told["policy"], told["digest"], told["propensity"]) == ("secret-policy", "secret-digest", 1)
        talk = Conversation(projects.MESSAGES.validate_python(row["prompt"]))
        samples = tiny().answer([talk, talk], Sampling(6, 1.0), told["seed"])
        assert contents(answer[0] for answer in row["responses"]) == [sample.text for sample in samples]
        assert told["tokens"] == [len(sample.response_ids) for sample in samples]
        for logp, sample in zip(told["logps"], samples, strict=True):
            assert isclose(logp, fsum(sample.logps), abs_tol=1e-9)
    assert [len(row["prompt"]) for row in rows] == [1, 3]
    compared = lines(exported(store, made, "comparisons"))
    assert [row["label"]["preference"] in (0.0, 1.0) for row in compared] == [True, True]


def test_orders_are_drawn_and_kept(store):
    made, orders = live(store, turns=20), set()
    room = Room(store, turn(store, made))
    for number in range(20):
        task = room.heard(f"Message {number}").task
        last = all_of(store, assignments)[-1]
        first = contents(answer[0] for answer in task.responses)[0].startswith("a")
        assert (last["shown_order"] == [0, 1]) == first
        orders.add(tuple(last["shown_order"]))
        room.judge()
    assert orders == {(0, 1), (1, 0)}


@pytest.mark.parametrize("choice", ["tie", "both_bad", "skip"])
def test_of_equal_answers_one_is_drawn_which_is_kept(store, choice):
    made, places = live(store, turns=20), []
    room = Room(store, turn(store, made))
    for number in range(16):
        room.heard(f"Message {number}")
        room.judge(Judgement(choice=choice))
        last = all_of(store, exchanges)[-1]
        assert last["chosen_by"] == "draw"
        places.append(last["goes_on"])
        assert room.next().messages[-1]["content"][0] == "ab"[last["goes_on"]]
    assert set(places) == {0, 1}
    told = [row["drawn"]["propensity"] for row in lines(exported(store, made, "jsonl"))]
    assert told == [0.5**number for number in range(16)]


def test_the_last_vote_can_be_taken_back_until_somebody_goes_on(room):
    room.heard("One")
    token = room.judge(TIE)
    assert room.queue.last(room.turn) == token
    assert room.queue.undo(room.turn, token).earlier == TIE
    talk = room.next()
    assert (talk.state, talk.task.token, talk.task.earlier) == ("judge", token, TIE)
    assert (all_of(room.store, exchanges)[0]["goes_on"], len(talk.messages)) == (None, 1)
    room.judge()
    room.say("Two")
    assert room.queue.last(room.turn) is None
    with pytest.raises(TaskGoneError, match="has gone on"):
        room.queue.undo(room.turn, token)


def test_a_dialogue_that_ended_is_open_again_when_its_last_vote_is_taken_back(room):
    first = room.heard("One")
    room.judge()
    room.heard("Two")
    token = room.judge()
    other = room.next()
    assert other.token != first.token
    room.queue.undo(room.turn, token)
    assert (room.next().token, room.next().state) == (first.token, "judge")
    room.judge()
    assert room.next().token == other.token


def test_a_message_that_is_sent_often_is_one_turn(room):
    token = room.next().token
    sent = together(8, lambda _: room.talks.say(room.turn, token, "Hello", "key-12345"))
    assert all(isinstance(talk, Talk) for talk in sent), sent
    assert len(all_of(room.store, exchanges)) == 1
    with pytest.raises(TaskGoneError, match="does not wait for a message"):
        room.talks.say(room.turn, token, "Hello", "key-67890")
    with pytest.raises(TaskGoneError, match="another message was sent already"):
        room.talks.say(room.turn, token, "Hello!", "key-12345")
    room.writer.answer()
    assert room.talks.say(room.turn, token, "Hello", "key-12345").state == "judge"
    room.judge()
    assert room.talks.say(room.turn, token, "Hello", "key-12345").state == "write"
    assert len(all_of(room.store, exchanges)) == 1


def test_a_server_that_is_killed_while_the_model_writes_begins_the_same_answers_again(store):
    room = Room(store, turn(store, live(store)), partner())
    room.say("Hello?")
    (asked,) = all_of(store, exchanges)
    with pytest.raises(KeyboardInterrupt):
        Writer(store, scripted(KeyboardInterrupt())).answer()
    assert room.talks.state(room.turn) == "sampling"
    assert [dict(row) for row in all_of(store, exchanges)] == [dict(asked)]
    again = Writer(store, room.partner)
    assert [again.answer(), again.answer()] == [True, False]
    talks, seeds = [Conversation.of("Hello?")] * 2, range(asked["seed"], asked["seed"] + 2 * ATTEMPTS, 2)
    drawn = ({sample.text for sample in tiny().answer(talks, Sampling(6, 1.0), seed)} for seed in seeds)
    expected = next(texts for texts in drawn if len(texts) == 2 and all(texts))  # others are drawn again
    assert set(contents(answer[0] for answer in room.next().task.responses)) == expected


def test_what_two_servers_answer_at_once_is_answered_once(store):
    room = Room(store, turn(store, live(store)))
    other = Writer(store, room.partner)

    class Slower(Script):
        def answer(self, *of, **more):
            other.answer()
            return super().answer(*of, **more)

    room.say("Hello?")
    assert Writer(store, replace(room.partner, engine=Slower())).answer()
    assert room.next().state == "judge"
    assert len(all_of(store, assignments)) == 1


def test_a_model_that_fails_is_told_to_admins_and_the_message_can_be_sent_again(store):
    made = live(store)
    room = Room(store, turn(store, made), scripted(ModelError("secret-policy is gone"), ("x", "y")))
    room.say("Hello?")
    assert room.writer.answer()
    talk = room.next()
    assert (talk.state, talk.draft, talk.messages, talk.left) == ("failed", "Hello?", [], 2)
    with store.read() as tx:
        ((_, entry), *_) = journal.entries(tx, made.id, 10)
    assert (entry.action, entry.detail) == (
        "message not answered",
        {"error": "ModelError: secret-policy is gone"},
    )
    assert room.heard("Hello again?").task.prompt[0]["content"] == "Hello again?"
    assert [row["number"] for row in all_of(store, exchanges)] == [0]


def test_answers_that_stay_equal_or_empty_are_no_pair(store):
    same, empty = ("x", "x"), ("", "y")
    room = Room(store, turn(store, live(store)), scripted(same, empty, ("x", "y"), *[same] * 4))
    talk = room.heard("Hello?")
    drawn = lines(_voted(room, talk))[0]["drawn"]
    (first, *_, last) = [seed for _, seed in room.partner.engine.asked]
    assert (drawn["attempts"], drawn["seed"], last - first) == (3, first + 4, 4)
    assert drawn["logps"] == [None, None]
    room.say("Again?")
    assert room.writer.answer()
    assert room.next().state == "failed"


def _voted(room, talk) -> bytes:
    room.queue.submit(room.turn, talk.task.token, LEFT, "key-12345")
    return exported(room.store, room.turn.project, "jsonl")


def test_a_model_that_takes_long_is_called_slow_and_may_answer_yet(room, clock):
    room.say("Hello?")
    clock.pass_minutes(1.9)
    assert room.next().state == "sampling"
    clock.pass_minutes(0.2)
    assert (room.next().state, room.talks.state(room.turn)) == ("slow", "slow")
    room.writer.answer()
    assert room.next().state == "judge"


def test_who_comes_back_late_finds_the_same_pair(room, clock):
    task = room.heard("Hello?").task
    clock.pass_minutes(31)
    Queue(room.store).next(Turn(room.turn.project, somebody(room.store, room.turn.project).id))
    (held,) = all_of(room.store, assignments)
    assert held["state"] == "returned"
    assert room.next().task == task
    clock.pass_minutes(31)
    Queue(room.store).next(Turn(room.turn.project, somebody(room.store, room.turn.project).id))
    room.queue.submit(room.turn, task.token, LEFT, "key-12345")
    assert room.next().state == "write"


def test_a_topic_is_for_so_many_people_and_each_is_asked_once(store, clock):
    made = live(store, ["cats", "dogs"], turns=1)
    one, other, third = (Room(store, turn(store, made)) for _ in range(3))
    topics = [contents(room.next().topic) for room in (one, other)]
    assert sorted(topics) == [["Ask about cats."], ["Ask about dogs."]]
    assert (third.talks.next(third.turn), third.queue.standing(third.turn)) == ("done", (0, 0))
    assert sorted(row["propensity"] for row in all_of(store, dialogues)) == [0.5, 1.0]
    clock.pass_minutes(31)
    assert third.next().topic in [room.next().topic for room in (one, other)]
    one.heard("Hello?")
    one.judge()
    clock.pass_minutes(31)
    assert contents(one.next().topic) == topics[1]
    assert one.talks.next(turn(store, made)) == "done"


def test_a_topic_is_never_given_to_more_people_than_want_it(store):
    made = live(store, ["cats", "dogs"], overlap=3)
    turns = [turn(store, made) for _ in range(12)]
    given = together(12, lambda number: Dialogues(store, scripted()).next(turns[number]))
    talks = [talk for talk in given if isinstance(talk, Talk)]
    assert (len(talks), [talk for talk in given if talk not in talks]) == (6, ["done"] * 6)
    assert (
        sorted(contents(talk.topic)[0] for talk in talks) == ["Ask about cats."] * 3 + ["Ask about dogs."] * 3
    )


def test_a_dialogue_can_be_ended_at_any_time(room):
    first = room.next()
    room.talks.end(room.turn, first.token)
    second = room.heard("Hello?")
    assert second.token != first.token
    room.talks.end(room.turn, second.token)
    assert [row["state"] for row in all_of(room.store, assignments)] == ["returned"]
    third = room.say("Hello?")
    room.talks.end(room.turn, third.token)
    room.talks.end(room.turn, third.token)
    assert not room.writer.answer()
    with pytest.raises(TaskGoneError, match="does not wait for a message"):
        room.talks.say(room.turn, third.token, "More", "key-12345")
    assert room.next().messages == []
    assert exported(room.store, room.turn.project, "jsonl") == b""


def test_a_dialogue_is_its_holders_own(room):
    token = room.say("Hello?").token
    mallory = Turn(room.turn.project, somebody(room.store, room.turn.project).id)
    for attempt in (
        lambda: room.talks.say(mallory, token, "Hello", "key-12345"),
        lambda: room.talks.end(mallory, token),
        lambda: room.talks.say(
            Turn(live(room.store, slug="q"), room.turn.annotator_id), token, "x", "key-12345"
        ),
    ):
        with pytest.raises(TaskGoneError, match="no such dialogue"):
            attempt()


def test_messages_have_a_length_and_are_text(room):
    token = room.next().token
    for message in ("", " \r\n ", "\x00", "x" * (LONGEST_MESSAGE + 1)):
        with pytest.raises(DataError, match="the message"):
            room.talks.say(room.turn, token, message, "key-12345")
    talk = room.say(" a\r\nb\x00\ud800 ")
    assert contents(talk.messages) == ["a\nb"]


def test_without_a_model_nobody_talks_and_what_waits_can_be_judged(store):
    room = Room(store, turn(store, live(store)))
    alone = Dialogues(store)
    assert alone.next(room.turn) == "no_model"
    talk = room.heard("Hello?")
    assert alone.next(room.turn) == talk
    room.judge()
    assert alone.next(room.turn) == "no_model"
    with pytest.raises(NoModelError, match="--model MODEL"):
        alone.say(room.turn, talk.token, "More", "key-12345")


def test_pairs_are_judged_in_one_kind_of_project_and_made_in_the_other(store):
    judged, talked = project(store, pairs(1)), live(store, ["cats"], "q")
    with store.write() as tx, pytest.raises(DataError, match="import prompts as topics"):
        projects.add_items(tx, talked.id, [pair("one")])
    with store.write() as tx, pytest.raises(DataError, match="kind=dialogue"):
        projects.add_items(tx, judged.id, [topic("cats")])
    for made, kind in ((judged, "dialogue"), (talked, "judging")):
        with store.write() as tx, pytest.raises(ConfigError, match="cannot change"):
            projects.settle(tx, made, made.settings.model_copy(update={"kind": kind}))
    with pytest.raises(DataError, match="there are no dialogues"):
        Dialogues(store, scripted()).next(turn(store, judged))
    who = turn(store, talked)
    assert Queue(store).next(who) == "dialogue"


def test_a_pair_wants_the_vote_of_whoever_leads_its_dialogue(store):
    """One, however many people talk about a topic: before it, with it, and where it is skipped or left."""
    made = live(store, ["cats"], overlap=3, turns=9)
    room = Room(store, turn(store, made))
    for number in range(3):
        room.heard(f"Message {number}")
        if number < 2:
            room.judge(Judgement(choice=("skip", "tie")[number]))

    def kept() -> list[tuple[str, int, int]]:
        rows = all_of(store, items)
        assert all(row["lot"] == lot_of(row["external_id"]) for row in rows)
        return [(row["purpose"], row["taken"], row["wanted"]) for row in rows]

    skipped, judged, held = ("ordinary", 0, 1), ("ordinary", 1, 0), ("ordinary", 1, 0)
    assert kept() == [("topic", 0, 1), skipped, judged, held]
    with store.write() as tx:
        projects.settle(tx, made, made.settings.model_copy(update={"overlap": 7}))
    assert kept() == [("topic", 0, 1), skipped, judged, held]
    room.talks.end(room.turn, room.next().token)
    assert kept() == [("topic", 0, 1), skipped, judged, ("ordinary", 0, 1)]


def test_webhooks_hear_of_each_pair_and_who_adjudicates_of_flagged_ones(store):
    made = live(store, ["cats"], overlap=3)
    hook(store, made, "https://hooks.example/", ["item.finished", "project.finished"])
    room = Room(store, turn(store, made))
    room.heard("Hello?")
    room.judge(Judgement(choice="left", strength=1, left_flags=frozenset({"harmful"})))
    assert [row["event"] for row in all_of(store, outbox)] == ["item.finished"]
    judge = Turn(made, somebody(store, made, "adjudicator").id)
    assert contents(Bench(store).next(judge).prompt) == ["Hello?"]
