"""Rows of the files that suites are made of."""

from pathlib import Path
from typing import Any

from gnomon.data.files import read_rows
from gnomon.data.reader import FOLDER
from gnomon.errors import DataError


def builtin_rows(folder: str) -> list[dict[str, Any]]:
    """The rows of a folder of the built-in data, file by file, the file's name as their `family`."""
    paths = sorted((FOLDER / folder).glob("*.jsonl"))
    return [{"family": path.stem, **row} for path in paths for row in file_rows(path)]


def file_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of any format that is read; DataError where it is none of these."""
    return [row for _, row in read_rows(path)]


def needed(row: dict[str, Any], where: str, *names: str) -> None:
    """DataError where a row lacks one of the keys a suite cannot do without."""
    for name in names:
        if name not in row:
            raise DataError(
                f"{where}: a row has no {name!r} but {', '.join(sorted(row))}; is it another suite's?"
            )
