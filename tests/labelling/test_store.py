import sqlite3
import stat

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from office import key, pair, pairs, project, running, together, turn
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from gnomon.errors import ConfigError, DataError, StorageError
from gnomon.labelling.client import LabelClient, RefusedError
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.queue import Queue
from gnomon.labelling.settings import ProjectSettings
from gnomon.labelling.store import database, journal, people, projects
from gnomon.labelling.store.database import back_up, open_store, scrub
from gnomon.labelling.store.tables import metadata


def test_the_steps_make_the_tables_that_the_code_speaks_of(store):
    with store.read() as tx:
        differences = compare_metadata(MigrationContext.configure(tx.connection), metadata)
    assert differences == []


def test_what_is_stored_is_there_when_it_is_opened_again(store, database):
    made = project(store, pairs(3), ProjectSettings(overlap=2))
    again = open_store(database)
    with again.read() as tx:
        assert projects.find(tx, "p") == made
        assert projects.count_items(tx, made.id) == {"ordinary": 3}
    again.close()


@pytest.mark.parametrize("table", ["events", "audit"])
@pytest.mark.parametrize("change", ["UPDATE {} SET created_at = 0", "DELETE FROM {}"])
def test_what_only_grows_cannot_be_changed(store, table, change):
    who, queue = turn(store, project(store, pairs(1))), Queue(store)
    queue.submit(who, queue.next(who).token, Judgement(choice="tie"), "key-12345")
    with pytest.raises(DBAPIError, match="only grows"), store.write() as tx:
        tx.connection.execute(text(change.format(table)))
    with store.read() as tx:
        assert tx.connection.execute(text(f"SELECT count(*) FROM {table} WHERE created_at > 0")).scalar() > 0


def test_a_transaction_that_fails_leaves_nothing(store):
    made = project(store, pairs(1))
    with pytest.raises(DataError, match="'pair-0' is there already"), store.write() as tx:
        projects.add_items(tx, made.id, [pair("new"), pair("pair-0")])
    with store.read() as tx:
        assert projects.count_items(tx, made.id) == {"ordinary": 1}


def test_the_same_id_twice_in_one_import_is_told(store):
    made = project(store, [])
    with pytest.raises(DataError, match="'twice' is there already"), store.write() as tx:
        projects.add_items(tx, made.id, [pair("twice"), pair("once"), pair("twice")])


def test_a_project_name_is_taken_once_and_fits_into_an_address(store):
    project(store, [])
    for slug, said in (("p", "there already"), ("A b", "small letters"), ("", "small letters")):
        with pytest.raises(ConfigError, match=said):
            project(store, [], slug=slug)
    with pytest.raises(ConfigError, match="there is: p"), store.read() as tx:
        projects.named(tx, "q")


def test_guidelines_keep_their_versions(store):
    made = project(store, [])
    with store.write() as tx:
        assert projects.current_guidelines(tx, made.id) is None
        assert [projects.write_guidelines(tx, made.id, words) for words in ("one", "two")] == [1, 2]
        assert projects.current_guidelines(tx, made.id) == (2, "two")


def test_the_audit_log_is_read_page_by_page(store):
    made = project(store, [])
    with store.write() as tx:
        for number in range(5):
            journal.note(tx, "counted", project=made.id, number=number)
    with store.read() as tx:
        newest = journal.entries(tx, made.id, 2)
        older = journal.entries(tx, made.id, 2, before=newest[-1][0])
    assert [entry.detail["number"] for _, entry in newest + older] == [4, 3, 2, 1]


def read_then_write(transaction, rounds: int = 50) -> None:
    for _ in range(rounds):
        with transaction() as tx:
            count = tx.connection.execute(text("SELECT taken FROM items")).scalar_one()
            tx.connection.execute(text("UPDATE items SET taken = :new"), {"new": count + 1})


def test_eight_processes_that_read_and_then_write_never_fail(database, store):
    """Each has a store of its own, as processes have: only the database itself keeps them apart."""
    if store.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL locks rows, which the queue asks for itself")
    project(store, pairs(1))
    stores = [open_store(database) for _ in range(8)]
    assert together(8, lambda number: read_then_write(stores[number].write)) == [None] * 8
    with store.read() as tx:
        assert tx.connection.execute(text("SELECT taken FROM items")).scalar_one() == 400
    for one in stores:
        one.close()


def test_transactions_that_begin_by_reading_would_fail(tmp_path):
    """What the test above would look like with the default of SQLite: it can fail."""
    stores = [open_store(tmp_path / "labels.db") for _ in range(8)]
    project(stores[0], pairs(1))
    results = together(8, lambda number: read_then_write(stores[number].read))
    failed = [problem for problem in results if problem]
    assert failed
    assert all("locked" in str(problem) for problem in failed)
    for one in stores:
        one.close()


def test_the_file_is_for_this_user_alone(tmp_path):
    open_store(tmp_path / "labels.db").close()
    assert stat.S_IMODE((tmp_path / "labels.db").stat().st_mode) == 0o600


def test_a_database_that_others_go_on_writing_to_is_told(tmp_path, monkeypatch):
    """By the server as well, as something that passes: what was not kept is sent again."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    store, other = (open_store(tmp_path / "labels.db") for _ in range(2))
    made = project(store, pairs(1))
    with running(store) as url, LabelClient(url, key(store, made)) as ada:
        token = ada.next("p").task.token
        with other.write():
            with pytest.raises(StorageError, match="try again"), store.write():
                pass
            with pytest.raises(RefusedError, match="try again") as refused:
                ada.submit("p", token, Judgement(choice="tie"))
            assert refused.value.status == 503
        ada.submit("p", token, Judgement(choice="tie"))
    store.close()
    other.close()


def test_a_full_disk_is_told_and_leaves_no_half_row(tmp_path):
    store = open_store(tmp_path / "labels.db")
    made = project(store, pairs(1))

    @event.listens_for(store.engine, "begin")
    def no_more_pages(connection):
        connection.exec_driver_sql("PRAGMA max_page_count = 60")

    store.engine.dispose()
    with pytest.raises(StorageError, match="full"), store.write() as tx:
        projects.add_items(tx, made.id, (pair(f"{number}-{'x' * 400}") for number in range(1000)))
    with store.read() as tx:
        assert projects.count_items(tx, made.id) == {"ordinary": 1}
    store.close()


def test_a_backup_is_the_whole_database_while_it_is_in_use(tmp_path):
    store = open_store(tmp_path / "labels.db")
    made = project(store, pairs(5))
    with store.write() as tx:
        projects.write_guidelines(tx, made.id, "written")
        back_up(store, tmp_path / "copy.db")  # sees what was there before
    copy = open_store(tmp_path / "copy.db")
    with copy.read() as tx:
        assert projects.count_items(tx, made.id) == {"ordinary": 5}
        assert projects.current_guidelines(tx, made.id) is None
    with pytest.raises(ConfigError, match="there already"):
        back_up(store, tmp_path / "copy.db")
    store.close()
    copy.close()


def test_what_is_erased_is_not_said_to_be_gone_while_somebody_reads(tmp_path, monkeypatch):
    """Until then it stays in the file; the same command, run again, has it out."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    store, other = (open_store(tmp_path / "labels.db") for _ in range(2))
    with store.write() as tx:
        ada = people.accept(tx, people.invite(tx, "admin"), "Ada Lovelace", "no-hash")
    with other.read() as reading:
        assert people.pseudonym_of(reading, "Ada Lovelace") == ada.pseudonym
        with store.write() as tx:
            people.forget(tx, ada.pseudonym)
        with pytest.raises(StorageError, match="run it again"):
            scrub(store)
    scrub(store)
    files = tmp_path.glob("labels.db*")
    assert not any(b"Ada Lovelace" in file.read_bytes() for file in files)
    store.close()
    other.close()


def test_a_database_of_a_newer_gnomon_is_left_alone(tmp_path):
    open_store(tmp_path / "labels.db").close()
    with sqlite3.connect(tmp_path / "labels.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StorageError, match="newer Gnomon"):
        open_store(tmp_path / "labels.db")


def test_a_file_that_is_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("not a database at all, but long enough to look at " * 20)
    with pytest.raises(StorageError, match="not a database"):
        open_store(tmp_path / "notes.txt")


@pytest.mark.parametrize("place", ["mysql://root@localhost/labels", "postgresql://", "://"])
def test_a_place_that_makes_no_sense_is_told(place):
    with pytest.raises(ConfigError, match="write a file's path or postgresql"):
        open_store(place)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StorageError, match="No such file"):
        open_store(tmp_path / "nowhere" / "labels.db")
