"""Files as plain dict rows: JSON, JSONL, CSV, TSV, Parquet, each possibly gzipped, and hub names."""

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from gnomon.errors import ConfigError, DataError

Rows = Iterator[tuple[int, dict[str, Any]]]
HUB = "hub:"
LFS_POINTER = b"version https://git-lfs"
WRAPPERS = ("data", "rows")
DELIMITERS = (",", "\t", ";")


class BadRow(Exception):  # noqa: N818
    """A row that cannot be used: a short fixed reason to count by, and a clause about this very row."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


Stream = gzip.GzipFile | io.BufferedReader
OnBadRow = Callable[[int, BadRow], None]


def file_name(path: str | Path) -> str:
    """The name a person knows the rows by: the file's, or the hub reference as written."""
    return str(path) if str(path).startswith(HUB) else Path(path).name


def file_stem(path: str | Path) -> str:
    """The name without folders and endings, the first half of the ids of rows that have none."""
    name = file_name(path)
    return name.removeprefix(HUB) if name.startswith(HUB) else name.removeprefix(".").split(".")[0]


def read_rows(path: str | Path, on_bad_row: OnBadRow | None = None) -> Rows:
    """Each row with its number from 1 (in JSONL the number of its line).

    The format is told by content, not by the file's ending. A row that is not an object, or that UTF-8 cannot
    hold, goes to `on_bad_row`, and stops the reading without it. DataError where the whole file cannot be
    read.
    """
    name = file_name(path)

    def stop(number: int, problem: BadRow) -> None:
        raise DataError(f"row {number} of {name}: {problem.detail}; correct or remove it") from problem

    report = on_bad_row or stop
    if str(path).startswith(HUB):
        yield from enumerate(_hub_rows(str(path)), start=1)
        return
    try:
        with _open(Path(path)) as stream:
            yield from _rows(stream, Path(path), report)
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise DataError(f"{path}: the gzip data is cut short or damaged; download it again") from problem
    except UnicodeDecodeError as problem:
        raise DataError(
            f"{path}: not UTF-8 text (byte 0x{problem.object[problem.start]:02x}); "
            "convert it, for example with iconv -f LATIN1 -t UTF-8"
        ) from problem


def _open(path: Path) -> Stream:
    if path.is_dir():
        raise DataError(f"{path} is a folder; give one of the files in it")
    try:
        with path.open("rb") as file:
            magic = file.read(2)
        return gzip.open(path, "rb") if magic == b"\x1f\x8b" else path.open("rb")
    except FileNotFoundError as problem:
        named = len(path.parts) == 2 and not path.suffix and not path.parent.exists()
        hub = f"; a data set of the hub is {HUB}{path}" if named else ""
        raise DataError(
            f"{path} does not exist; check the path (it is relative to {Path.cwd()}){hub}"
        ) from problem
    except PermissionError as problem:
        raise DataError(f"{path} may not be read; change its permissions") from problem


def _rows(stream: Stream, path: Path, report: OnBadRow) -> Rows:
    head = stream.read(4096)
    stream.seek(0)
    if head.startswith(b"PAR1"):
        yield from enumerate(_parquet_rows(stream, path), start=1)
        return
    if head.startswith(LFS_POINTER):
        raise DataError(f"{path} is a Git LFS pointer, not the data; run 'git lfs pull' or download the file")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path} is UTF-16 text; convert it with iconv -f UTF-16 -t UTF-8")
    if b"\x00" in head:
        raise DataError(f"{path} is a binary file of an unknown kind; give JSON, JSONL, CSV, TSV or Parquet")
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    start = _first_lines(text)
    if not start:
        raise DataError(f"{path} is empty; give a file with rows")
    if start[0][0] == "{" and _is_json_lines(start):
        yield from _json_lines(text, report)
    elif start[0][0] in "[{":
        yield from _json_document(text, path, report)
    else:
        yield from _table_rows(text, path, report)


def _first_lines(text: TextIO) -> list[str]:
    """The first two lines that say something; the stream is left at its start."""
    lines = list(islice((line.strip() for line in text if line.strip()), 2))
    text.seek(0)
    return lines


def _is_json_lines(start: list[str]) -> bool:
    try:
        first = json.loads(start[0])
    except ValueError:
        return len(start) > 1 and start[1][0] == "{"
    return _wrapped(first) is None


def _wrapped(document: Any) -> list[Any] | None:
    """The rows inside {"data": [...]} or {"rows": [...]}; None for any other object."""
    for key in WRAPPERS:
        inner = document.get(key)
        if isinstance(inner, list) and all(isinstance(row, dict) for row in inner):
            return [row["row"] if "row_idx" in row and "row" in row else row for row in inner]
    return None


def _json_lines(text: TextIO, report: OnBadRow) -> Rows:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as problem:
            report(number, BadRow("not valid JSON", f"not valid JSON ({problem})"))
            continue
        yield from _objects(number, [row], report)


def _json_document(text: TextIO, path: Path, report: OnBadRow) -> Rows:
    try:
        document = json.load(text)
    except UnicodeDecodeError:
        raise
    except ValueError as problem:
        raise DataError(f"{path}: not valid JSON ({problem}); is the file cut short?") from problem
    rows = document if isinstance(document, list) else _wrapped(document)
    if rows is None:
        raise DataError(
            f"{path}: one JSON object with the keys {', '.join(document)}; "
            "rows are expected in a list, under 'data' or 'rows', or one object on each line"
        )
    yield from _objects(1, rows, report)


def _objects(start: int, rows: Iterable[Any], report: OnBadRow) -> Rows:
    for number, row in enumerate(rows, start=start):
        if not isinstance(row, dict):
            report(number, BadRow("not an object", f"a JSON {type(row).__name__}, not an object"))
            continue
        try:
            check_text(row)
        except BadRow as problem:
            report(number, problem)
        else:
            yield number, row


def check_text(value: Any) -> None:
    """BadRow where an escape in JSON (\\ud83d alone) has made half a character, which UTF-8 cannot hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as problem:
        half = f"{problem.object[problem.start]!r} is half a surrogate pair, which no UTF-8 text can hold"
        raise BadRow("half a character", half) from problem


def _table_rows(text: TextIO, path: Path, report: OnBadRow) -> Rows:
    header = text.readline()
    text.seek(0)
    delimiter = max(DELIMITERS, key=header.count)
    if delimiter not in header and ".csv" not in path.suffixes and ".tsv" not in path.suffixes:
        raise DataError(f"{path} is plain text; give JSON, JSONL, CSV, TSV or Parquet")
    csv.field_size_limit(sys.maxsize)  # the default of 128 KiB is less than a long conversation
    table = csv.DictReader(text, delimiter=delimiter, strict=True)
    try:
        for number, row in enumerate(table, start=1):
            if None in row or None in row.values():
                report(
                    number, BadRow("wrong number of columns", "it has more or fewer columns than the header")
                )
            else:
                yield number, row
    except csv.Error as problem:
        raise DataError(f"{path}, line {table.line_num}: {problem}; check the quotes there") from problem


def _parquet_rows(stream: Stream, path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        for batch in pq.ParquetFile(stream).iter_batches():
            yield from batch.to_pylist()
    except (pa.ArrowInvalid, OSError) as problem:
        raise DataError(f"{path}: not a whole Parquet file ({problem}); download it again") from problem


def _hub_rows(reference: str) -> Iterator[dict[str, Any]]:
    name, _, split = reference.removeprefix(HUB).partition(":")
    if name.count("/") != 1:
        raise ConfigError(f"data {reference!r}: write hub:ORG/NAME or hub:ORG/NAME:SPLIT")
    try:
        import datasets  # noqa: PLC0415
    except ImportError as problem:
        raise ConfigError(f"{reference} needs the hub extra: pip install 'gnomon[hub]'") from problem
    try:
        yield from datasets.load_dataset(name, split=split or "train")
    except (ValueError, OSError) as problem:
        raise DataError(
            f"{reference} could not be read: {problem}; check name, split and network"
        ) from problem
