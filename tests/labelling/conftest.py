"""Every test of the store runs on SQLite, and, marked slow, on a PostgreSQL server started here."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from issuing import Issuer, issuing
from office import Clock, pairs, project
from sqlalchemy import create_engine, text

from gnomon.labelling.store import projects
from gnomon.labelling.store.database import Store, open_store

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ENGINES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]


def program(name: str) -> Path:
    """One of PostgreSQL's programs, which Debian keeps beside the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found:
        pytest.skip("PostgreSQL is not installed: bash .ci/services")
    return found[-1]


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a PostgreSQL server with an empty cluster, on a socket in a folder of its own."""
    initdb, control = program("initdb"), program("pg_ctl")
    with tempfile.TemporaryDirectory(prefix="gnomon-postgresql-") as folder:
        as_user = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            as_user = ["runuser", "-u", "postgres", "--"]
            shutil.chown(folder, "postgres")
        data, log = f"{folder}/data", f"{folder}/log"
        run = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL)
        run([*as_user, initdb, "-D", data, "-U", "gnomon", "-A", "trust"])
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        run([*as_user, control, "-D", data, "-w", "-l", log, "-o", options, "start"])
        try:
            yield f"postgresql://gnomon@/{{}}?host={folder}"
        finally:
            run([*as_user, control, "-D", data, "-m", "immediate", "stop"])


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The place of an empty database."""
    if request.param == "sqlite":
        return str(tmp_path / "labels.db")
    cluster = request.getfixturevalue("cluster")
    name = f"t{os.urandom(6).hex()}"
    url = cluster.format("postgres").replace("postgresql:", "postgresql+psycopg:")
    with create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return cluster.format(name)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: str, clock: Clock) -> Iterator[Store]:
    """An open database, with a clock that stands still."""
    opened = open_store(database, clock)
    yield opened
    opened.close()


@pytest.fixture
def issuer(clock: Clock) -> Iterator[Issuer]:
    """A provider of OpenID Connect that runs here."""
    with issuing(clock) as it:
        yield it


@pytest.fixture
def made(store: Store) -> projects.Project:
    """The project `p`, with two pairs."""
    return project(store, pairs(2))


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    """Debian's Chromium."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed: bash .ci/services")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  only the tests in a browser need it

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
