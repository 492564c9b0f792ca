"""Databases of every schema that was released, brought up to date with all that is in them."""

from hashlib import sha256

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, text

from gnomon.labelling import migrations
from gnomon.labelling.store.database import open_store

RELEASED = ("0001", "0002")
NEWEST = "0003"
PLACES = {"project_id": 1, "item_id": 1, "annotator_id": 1, "assignment_id": 1, "version": 1, "place": 0}
ONCE = ("projects", "annotators", "guidelines", "items", "responses", "assignments", "events", "audit")


def value(column) -> object:
    """Something that fits into a column."""
    if column["name"] in PLACES:
        return PLACES[column["name"]]
    kind = str(column["type"]).upper()
    if "JSON" in kind:
        return "[1, 0]"
    if "CHAR" in kind or "TEXT" in kind:
        return "label" if column["name"] == "kind" else "x"
    if "BOOL" in kind:
        return True
    return 0.5 if "FLOAT" in kind or "DOUBLE" in kind else 1


def hashes(connection, columns) -> dict[str, str]:
    """Of the rows of each table, in the columns there were."""
    found = {}
    for table, names in columns.items():
        rows = connection.execute(text(f"SELECT {', '.join(names)} FROM {table} ORDER BY 1")).all()
        found[table] = sha256(repr(rows).encode()).hexdigest()
        assert rows
    return found


@pytest.mark.parametrize("released", RELEASED)
def test_a_database_of_an_older_gnomon_keeps_every_row(database, tmp_path, released):
    url = database if "://" in database else f"sqlite:///{database}"
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    config = Config()
    config.set_main_option("script_location", migrations.__path__[0])
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, released)
        columns = {}
        for table in ONCE:
            own = inspect(connection).get_columns(table)
            columns[table] = [column["name"] for column in own]
            values = {column["name"]: value(column) for column in own}
            names = ", ".join(values)
            connection.execute(
                text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(':' + name for name in values)})"),
                values,
            )
        before = hashes(connection, columns)
        counted = connection.execute(text("SELECT count(*) FROM labels")).scalar()
    engine.dispose()
    store = open_store(database)
    with store.read() as tx:
        assert hashes(tx.connection, columns) == before
        assert tx.connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == NEWEST
        assert tx.connection.execute(text("SELECT count(*) FROM labels")).scalar() == counted == 1
        assert tx.connection.execute(text("SELECT count(*) FROM decisions")).scalar() == 0
    store.close()
    backups = list(tmp_path.glob(f"labels.db.{released}-*.backup"))
    assert len(backups) == (store.engine.dialect.name == "sqlite")
