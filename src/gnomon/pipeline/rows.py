"""Records on disk between stages: one JSON object a line."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from gnomon.errors import StorageError
from gnomon.records import Record, from_json, to_json
from gnomon.runs import write_text

R = TypeVar("R", bound=Record)


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write records whole or not at all."""
    write_lines(path, (to_json(record) for record in records))


def read_records(path: Path, kind: type[R]) -> list[R]:
    """The records of one kind in a file that `write_records` wrote."""
    return [from_json(kind, values) for values in read_lines(path)]


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write JSON values, one a line, whole or not at all."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_lines(path: Path) -> list[Any]:
    """The JSON values of a file, one a line."""
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    except (OSError, ValueError) as problem:
        raise StorageError(f"{path} cannot be read ({problem}); delete its folder and run again") from problem
