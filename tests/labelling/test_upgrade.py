"""A database that an earlier version left is brought up to date with nothing lost, on both engines."""

import stat
from collections import Counter
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from earlier import ROWS
from populated import digests, engine_of, populate, steps, tables, version, views
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from gnomon.labelling import tally
from gnomon.labelling.adjudication import Bench
from gnomon.labelling.dialogue import Dialogues
from gnomon.labelling.export import rows
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.partner import Partner
from gnomon.labelling.queue import Queue, Task, Turn
from gnomon.labelling.store import projects
from gnomon.labelling.store.database import open_store
from gnomon.labelling.store.lots import lot_of
from gnomon.labelling.store.tables import assignments, events, items, metadata

HEAD = steps()[-1]
OLDER = steps()[:-1]
LEFT = Judgement(choice="left", strength=1)


def backups(database: str) -> list[Path]:
    return sorted(Path(database).parent.glob("labels.db.*.backup"))


def test_every_step_has_rows_for_what_it_makes(database):
    """A step without rows here would be upgraded from empty tables: a test that could not fail."""
    assert list(ROWS) == steps()
    populate(database, HEAD)
    there = tables(database)
    assert there.keys() == metadata.tables.keys()
    assert views(database).keys() == {"labels", "decisions"}
    assert all(digests(database, there | views(database)).values())


@pytest.mark.parametrize("revision", OLDER)
def test_every_row_of_an_older_schema_is_as_it_was(database, revision):
    """What the views say that counts, too."""
    populate(database, revision)
    columns = tables(database) | views(database)
    before = digests(database, columns)
    assert all(before.values())
    open_store(database).close()
    assert version(database) == HEAD
    assert digests(database, columns) == before


@pytest.mark.parametrize("revision", OLDER)
def test_what_is_upgraded_is_what_is_made_anew(database, revision):
    populate(database, revision)
    store = open_store(database)
    with store.read() as tx:
        assert compare_metadata(MigrationContext.configure(tx.connection), metadata) == []
    with pytest.raises(DBAPIError, match="only grows"), store.write() as tx:
        tx.connection.execute(text("DELETE FROM events"))
    store.close()


@pytest.mark.parametrize("revision", steps())
def test_people_go_on_where_they_were(database, revision):
    populate(database, revision)
    step = steps().index(revision)
    store = open_store(database)
    with store.read() as tx:
        talk = projects.named(tx, "talk")
        before = list(rows(tx, talk.id))
        counts = tally.summary(tx, talk)
    assert counts["adjudication"]["waiting"] == counts["adjudication"]["decided"] == (step >= 1)
    votes = ["tie", "prefer", "both_bad"] + ["prefer"] * 4 * (step >= 1) + ["ranked"] * (step >= 2)
    votes += ["prefer"] * (step >= 5)
    decided = ["prefer"] * (step >= 1)
    assert counts["outcomes"] == Counter(votes)
    assert [row["outcome"] for row in before] == votes + decided
    queue, turn = Queue(store), Turn(talk, 1)
    task = queue.next(turn)
    assert isinstance(task, Task)
    queue.submit(turn, task.token, LEFT, "key-12345")
    bench, judge = Bench(store), Turn(talk, 5)
    if step >= 1:
        bench.decide(judge, bench.next(judge).token, LEFT, "key-12345")
    assert bench.next(judge) == "done"
    with store.read() as tx:
        after = {row["id"]: row for row in rows(tx, talk.id)}
    untouched = [row for row in before if row["item"] != "pair-6"]
    assert [after[row["id"]] for row in untouched] == untouched
    assert len(after) == len(before) + 1 + len(decided)
    store.close()


@pytest.mark.parametrize("revision", steps())
def test_what_was_there_can_be_drawn_as_what_is_new(database, revision):
    populate(database, revision)
    store = open_store(database)
    with store.read() as tx:
        kept = {row.external_id: row for row in tx.connection.execute(select(items))}
        last = select(assignments.c.answered_by, func.max(events.c.id)).join_from(assignments, events)
        done = last.where(assignments.c.state == "done").group_by(assignments.c.id)
        assert all(answered == newest for answered, newest in tx.connection.execute(done))
    missing = {name: row.wanted for name, row in kept.items()}
    expected = {"pair-1": 1, "pair-2": 1, "pair-3": 2, "pair-4": 1}
    expected |= {"pair-5": 0, "pair-6": 0} if revision >= "0002" else {}
    assert missing.items() >= expected.items()
    assert all(row.lot == lot_of(name) for name, row in kept.items())
    store.close()


def test_a_dialogue_goes_on_where_it_was(database):
    populate(database, "0007")
    store = open_store(database)
    with store.read() as tx:
        live = projects.named(tx, "live")
    talks, turn = Dialogues(store, Partner(None, "a-model")), Turn(live, 1)
    talk = talks.next(turn)
    assert (talk.state, talk.task.token, talk.left) == ("judge", "token-15", 4)
    assert [message["content"] for message in talk.messages] == ["Hi", "Nein; 100 %, 'so'.", "Why?"]
    Queue(store).submit(turn, talk.task.token, LEFT, "key-12345")
    talk = talks.next(turn)
    assert talk.state == "write"
    assert talks.say(turn, talk.token, "So?", "key-12345").messages[-2]["content"] == "Nein; 100 %, 'so'."
    store.close()


@pytest.mark.parametrize("revision", OLDER)
def test_a_file_is_copied_before_it_is_touched(tmp_path, revision):
    database = str(tmp_path / "labels.db")
    populate(database, revision)
    columns = tables(database)
    before = digests(database, columns)
    open_store(database).close()
    (copy,) = backups(database)
    assert copy.name.startswith(f"labels.db.{revision}-")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert (version(str(copy)), tables(str(copy))) == (revision, columns)
    assert digests(str(copy), columns) == before
    open_store(database).close()
    assert backups(database) == [copy], "what is up to date is not copied"


@pytest.mark.parametrize("revision", OLDER)
def test_a_step_that_fails_leaves_everything_as_it_was(database, revision):
    """A step finds a table of its own there already."""
    populate(database, revision)
    if not (missing := sorted(metadata.tables.keys() - tables(database).keys())):
        pytest.skip("no later step makes a table")
    engine = engine_of(database)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {missing[0]} (id INTEGER)"))
    engine.dispose()
    columns = tables(database)
    before = digests(database, columns)
    with pytest.raises(DBAPIError, match=missing[0]):
        open_store(database)
    assert (version(database), tables(database)) == (revision, columns)
    assert digests(database, columns) == before
    if "://" not in database:
        (copy,) = backups(database)
        assert digests(str(copy), columns) == before


def test_a_new_database_has_nothing_to_be_copied(tmp_path):
    database = str(tmp_path / "labels.db")
    open_store(database).close()
    assert (version(database), backups(database)) == (HEAD, [])
