"""Rows of the files that suites are made of, with their clusters."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gnomon.data.sources import FOLDER
from gnomon.data.splits import cluster
from gnomon.errors import DataError


def builtin_rows(folder: str) -> list[dict[str, Any]]:
    """The rows of a folder of the built-in data, file by file, the file's name as their `family`."""
    paths = sorted((FOLDER / folder).glob("*.jsonl"))
    return [{"family": path.stem, **row} for path in paths for row in file_rows(path)]


def file_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON, JSON Lines or CSV file, gzipped or not; DataError where it is none of these."""
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path} cannot be read: {problem}") from problem
    if path.name.removesuffix(".gz").endswith(".csv"):
        return list(csv.DictReader(io.StringIO(text)))
    try:
        if text.lstrip().startswith("["):
            rows: list[dict[str, Any]] = json.loads(text)
            return rows
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as problem:
        raise DataError(f"{path} is neither JSON nor JSON Lines: {problem}") from problem


def needed(row: dict[str, Any], where: str, *names: str) -> None:
    """DataError where a row lacks one of the keys a suite cannot do without."""
    for name in names:
        if name not in row:
            raise DataError(
                f"{where}: a row has no {name!r} but {', '.join(sorted(row))}; is it another suite's?"
            )


def clustered(ids: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Each text's cluster of near-duplicates, called by the id of its first one."""
    names: dict[int, str] = {}
    return [names.setdefault(number, name) for number, name in zip(cluster(texts), ids, strict=True)]
