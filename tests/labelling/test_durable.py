"""What somebody was told is kept is on the disk, and the disk is asked for many at a time."""

import os
import time

import pytest
from office import pairs, project, together
from sqlalchemy import func, select

from gnomon.errors import StorageError
from gnomon.labelling.store import journal
from gnomon.labelling.store.database import open_store
from gnomon.labelling.store.tables import audit

WRITERS = 16


def count(tx) -> int:
    return tx.connection.execute(select(func.count()).select_from(audit)).scalar_one()


def test_a_write_ends_after_a_sync_that_began_after_its_commit(tmp_path, monkeypatch):
    store, real = open_store(tmp_path / "labels.db"), os.fsync
    made = project(store, pairs(1))
    syncs, durable = [], [0]

    def slow(handle: int) -> None:
        assert os.path.samestat(os.fstat(handle), os.stat(tmp_path / "labels.db-wal"))
        with store.read() as tx:
            committed = count(tx)
        time.sleep(0.03)
        real(handle)
        syncs.append(committed)
        durable[0] = committed

    def write(number: int) -> bool:
        with store.write() as tx:
            journal.note(tx, "written", project=made.id, number=number)
            own = count(tx)
        return durable[0] >= own

    monkeypatch.setattr(os, "fsync", slow)
    assert together(WRITERS, write) == [True] * WRITERS
    assert len(syncs) < WRITERS, "one sync does for several"
    store.close()


def test_who_reads_waits_for_no_disk_and_a_disk_that_fails_is_told(tmp_path, monkeypatch):
    store = open_store(tmp_path / "labels.db")
    made = project(store, pairs(1))

    def broken(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with store.read() as tx:
        assert count(tx) > 0
    with pytest.raises(StorageError, match="Input/output error"), store.write() as tx:
        journal.note(tx, "written", project=made.id)
    store.close()
