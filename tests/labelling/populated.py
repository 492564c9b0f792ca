"""Databases as earlier versions of Gnomon left them: the schema of a step, with rows in every table of it."""

import json
from hashlib import sha256
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from earlier import ROWS, drawable
from sqlalchemy import JSON, Connection, Engine, MetaData, Table, create_engine, insert, inspect, select, text

VERSION = "alembic_version"


def config(connection: Connection | None = None) -> Config:
    made = Config()
    folder = str(files("gnomon.labelling") / "migrations")
    made.set_main_option("script_location", folder.replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def steps() -> list[str]:
    """The revisions, the first one first."""
    return [step.revision for step in ScriptDirectory.from_config(config()).walk_revisions()][::-1]


def engine_of(database: str) -> Engine:
    if "://" not in database:
        return create_engine(f"sqlite:///{database}")
    return create_engine(database.replace("postgresql:", "postgresql+psycopg:"))


def populate(database: str, revision: str) -> None:
    """Make the schema of a step in an empty database, and fill it as that version could have."""
    engine = engine_of(database)
    with engine.begin() as connection:
        command.upgrade(config(connection), revision)
    known = MetaData()
    known.reflect(engine)
    with engine.begin() as connection:
        for step in steps()[: steps().index(revision) + 1]:
            for name, rows in ROWS[step].items():
                for row in rows:  # one by one: not all rows of a table have the same columns
                    values = drawable(name, row) if revision >= "0006" else row
                    connection.execute(insert(known.tables[name]), values)
        if engine.dialect.name == "postgresql":
            for table in known.tables.values():
                if "id" in table.c:
                    sequence = f"pg_get_serial_sequence('{table.name}', 'id')"
                    counted = f"SELECT setval({sequence}, (SELECT max(id) FROM {table.name}))"
                    connection.execute(text(counted))
    engine.dispose()


def tables(database: str) -> dict[str, list[str]]:
    """The tables and their columns, what Alembic keeps for itself aside."""
    engine = engine_of(database)
    known = MetaData()
    known.reflect(engine)
    engine.dispose()
    return {name: list(table.c.keys()) for name, table in known.tables.items() if name != VERSION}


def views(database: str) -> dict[str, list[str]]:
    """The views, which say what counts, and their columns."""
    engine = engine_of(database)
    looked = inspect(engine)
    found = {name: [one["name"] for one in looked.get_columns(name)] for name in looked.get_view_names()}
    engine.dispose()
    return found


def digests(database: str, columns: dict[str, list[str]]) -> dict[str, list[str]]:
    """A digest of each row of some tables or views, of what they have in some columns."""
    engine = engine_of(database)
    known = MetaData()
    known.reflect(engine, views=True)
    with engine.connect() as connection:
        found = {name: _digests(connection, known.tables[name], names) for name, names in columns.items()}
    engine.dispose()
    return found


def _digests(connection: Connection, table: Table, names: list[str]) -> list[str]:
    chosen = [table.c[name] for name in names]
    rows = connection.execute(select(*chosen)).all()
    plain = [
        [json.dumps(value, sort_keys=True) if isinstance(column.type, JSON) else value for value, column in
         zip(row, chosen, strict=True)]
        for row in rows
    ]  # fmt: skip
    return sorted(sha256(repr(row).encode()).hexdigest() for row in plain)


def version(database: str) -> str:
    engine = engine_of(database)
    with engine.connect() as connection:
        found = connection.execute(text(f"SELECT version_num FROM {VERSION}")).scalar_one()
    engine.dispose()
    return str(found)
