"""The database: SQLite in one file or a PostgreSQL server, and transactions that read or write."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from threading import Lock
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from gnomon.errors import ConfigError, StorageError
from gnomon.runs import full_disk

BUSY_SECONDS = 30
"""How long others, writers of another process among them, are waited for."""
POOL = 20
"""Connections kept; as many again are opened while there is need, for the threads that answer requests."""


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


class BusyError(StorageError):
    """Somebody else has been writing for so long that it was given up; nothing is wrong, and nothing kept."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """A connection inside a transaction, and the one moment at which all of it happens."""

    connection: Connection
    now: int


@dataclass
class Log:
    """The write-ahead log of an SQLite file, brought to the disk for many writers at a time.

    Commits are only written (`synchronous = NORMAL`) while others wait to write. Who committed then waits
    here until the log was synced after that; one `fsync` does for all that were committed when it began. What
    a power cut can take is the end of the log, and nothing that its writer was told is kept.
    """

    path: Path
    committed: int = 0
    _synced: int = 0
    _syncing: Lock = field(default_factory=Lock)

    def count(self) -> None:
        """One more commit; for the one writer there is at a time."""
        self.committed += 1

    def sync(self, commit: int) -> None:
        """Return when so many commits are on the disk; StorageError where they cannot be brought there."""
        with self._syncing:
            if self._synced >= commit:
                return
            newest = self.committed
            try:
                self._flush()
            except OSError as problem:
                raise StorageError(f"{self.path}: {problem.strerror}; look after the disk") from problem
            self._synced = newest

    def _flush(self) -> None:
        with suppress(FileNotFoundError):  # then all of it is in the database file
            handle = os.open(self.path, os.O_RDWR)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


@dataclass(frozen=True)
class Store:
    """A database whose schema is current. Open one with `open_store`."""

    engine: Engine
    clock: Callable[[], int] = now_ms
    log: Log | None = None
    _one_writer: Lock = field(default_factory=Lock)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that only reads; it sees one state of the database from beginning to end, as those of
        SQLite do anyway."""
        level = {} if self.log else {"isolation_level": "REPEATABLE READ"}
        with self.engine.connect().execution_options(**level) as connection, connection.begin():
            yield Transaction(connection, self.clock())

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that is kept whole when the block ends, or not at all; StorageError for a full disk,
        BusyError where others go on writing.

        SQLite has one writer: threads queue for the lock, which is fair, and processes for `BEGIN IMMEDIATE`,
        which never fails half-way as a reader that wants to write does. At the end it is on the disk.
        """
        with ExitStack() as held:
            if self.log:
                held.enter_context(self._one_writer)
                held.callback(self.log.count)
            held.enter_context(_told(self.engine.url))
            connection = held.enter_context(self.engine.connect()).execution_options(writes=True)
            held.enter_context(connection.begin())
            yield Transaction(connection, self.clock())
        if self.log:
            self.log.sync(self.log.committed)

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()


def open_store(place: str | Path, clock: Callable[[], int] = now_ms) -> Store:
    """Open a file, or `postgresql://…`, and bring its schema up to date; a file is made if there is none.

    A file of an older schema is copied beside itself first. ConfigError where the place makes no sense,
    StorageError where it cannot be written or holds the database of a newer Gnomon.
    """
    url = _url(place)
    if url.drivername == "sqlite":
        _make_private(Path(str(url.database)))
    try:
        engine = create_engine(url, pool_size=POOL, max_overflow=POOL)
    except ImportError as problem:
        raise ConfigError(
            f"PostgreSQL needs the postgres extra ({problem}): pip install 'gnomon[postgres]'"
        ) from problem
    if url.drivername == "sqlite":
        event.listen(engine, "connect", _settle_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    store = Store(engine, clock, Log(Path(f"{url.database}-wal")) if url.drivername == "sqlite" else None)
    with _told(url):
        _upgrade(store)
    return store


def back_up(store: Store, target: Path) -> None:
    """Copy the database to a new file while others go on using it; ConfigError where that cannot be."""
    if store.engine.dialect.name != "sqlite":
        raise ConfigError("this database is a PostgreSQL server's: back it up with pg_dump")
    if target.exists():
        raise ConfigError(f"{target} is there already; name another file")
    draft = target.with_name(f".{target.name}.part")
    draft.unlink(missing_ok=True)
    _make_private(draft)
    with _told(store.engine.url), closing(sqlite3.connect(str(store.engine.url.database))) as source:
        source.execute("VACUUM INTO ?", (str(draft),))
    draft.replace(target)


def scrub(store: Store) -> None:
    """Move what was written into the file itself, where what is deleted is overwritten; empty the log.

    StorageError where that cannot be, as somebody reads what was there before.
    """
    if store.engine.dialect.name == "sqlite":
        place = str(store.engine.url.database)
        with closing(sqlite3.connect(place, timeout=BUSY_SECONDS)) as connection:
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StorageError(
                f"{place}: what was erased is still in the file, as somebody is reading; run it again"
            )


def _url(place: str | Path) -> URL:
    text = str(place)
    if "://" not in text:
        return URL.create("sqlite", database=text)
    try:
        url = make_url(text)
    except ArgumentError as problem:
        raise ConfigError(
            f"database {text!r}: write a file's path or postgresql://USER@HOST/NAME"
        ) from problem
    backend = url.get_backend_name()
    if backend not in ("sqlite", "postgresql") or not url.database:
        raise ConfigError(f"database {text!r}: write a file's path or postgresql://USER@HOST/NAME")
    return url.set(drivername="postgresql+psycopg" if backend == "postgresql" else "sqlite")


def _make_private(path: Path) -> None:
    """Make an empty file that only this user can read, where there is none: it will hold who people are."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as problem:
        raise StorageError(f"{path}: {problem.strerror}; name a file in a folder you can write") from problem


def _settle_sqlite(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {round(BUSY_SECONDS * 1000)}",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
        "secure_delete = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _told(url: URL) -> Iterator[None]:
    """Turn what a database says of a full disk, a lost server, others or a foreign file into StorageError."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as problem:
        said = str(problem.orig if isinstance(problem, DBAPIError) else problem)
        if (explained := _explained(said, url)) is None:
            raise
        raise explained from problem


def _explained(said: str, url: URL) -> StorageError | None:
    place = url.render_as_string(hide_password=True)
    if "database is locked" in said:
        return BusyError("others, an import maybe, have been writing for long; try again in a minute")
    if "disk is full" in said:
        return StorageError(full_disk(Path(str(url.database))))
    if "No space left" in said:
        return StorageError(f"{place}: the server's disk is full ({said.splitlines()[0]}); free space there")
    if "not a database" in said:
        return StorageError(f"{place} is not a database of Gnomon's; name another file")
    if "connection failed" in said:
        return StorageError(f"{place} cannot be reached ({said.splitlines()[0]}); is the server running?")
    return None


def _upgrade(store: Store) -> None:
    """Walk the steps that are missing, in one transaction."""
    with as_file(files("gnomon.labelling") / "migrations") as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        script = ScriptDirectory.from_config(config)
        with store.read() as tx:
            current = MigrationContext.configure(tx.connection).get_current_revision()
        if current == script.get_current_head():
            return
        _refuse_newer(store, current, {step.revision for step in script.walk_revisions()})
        if current is not None and store.engine.dialect.name == "sqlite":
            path = Path(str(store.engine.url.database))
            back_up(store, path.with_name(f"{path.name}.{current}-{now_ms()}.backup"))
        with store.write() as tx:
            config.attributes["connection"] = tx.connection
            command.upgrade(config, "head")


def _refuse_newer(store: Store, current: str | None, known: set[str]) -> None:
    if current is not None and current not in known:
        place = store.engine.url.render_as_string(hide_password=True)
        raise StorageError(f"{place} was made by a newer Gnomon (schema {current}); update this one")
