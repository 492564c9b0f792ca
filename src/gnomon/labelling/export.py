"""Labels on their way out: JSON Lines, CSV, Parquet, Gnomon's comparisons, preference rows of TRL."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.labelling.store import projects, votes
from gnomon.labelling.store.database import Store, Transaction
from gnomon.records import Comparison, Label, from_json, to_json

Form = Literal["jsonl", "csv", "parquet", "comparisons", "trl"]
Row = dict[str, Any]

ENDINGS: dict[Form, str] = {
    "jsonl": "jsonl",
    "csv": "csv",
    "parquet": "parquet",
    "comparisons": "comparisons.jsonl",
    "trl": "trl.jsonl",
}
MEDIA_TYPES: dict[Form, str] = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "comparisons": "application/x-ndjson",
    "trl": "application/x-ndjson",
}
BATCH = 500
"""Labels in memory at a time."""

_SCHEMA = {
    "id": pa.int64(),
    "item": pa.string(),
    "annotator": pa.string(),
    "outcome": pa.string(),
    "preferred": pa.int8(),
    "strength": pa.int8(),
    "flags": pa.string(),
    "rationale": pa.string(),
    "purpose": pa.string(),
    "expected": pa.int8(),
    "pass_number": pa.int8(),
    "shown_order": pa.string(),
    "chosen_by": pa.string(),
    "propensity": pa.float64(),
    "guideline_version": pa.int32(),
    "active_ms": pa.int64(),
    "elapsed_ms": pa.int64(),
    "at": pa.string(),
    "source": pa.string(),
    "origins": pa.string(),
    "drawn": pa.string(),
}
_TEXTS = {"prompt": pa.string(), "responses": pa.string()}
NESTED = ("flags", "shown_order", "origins", "drawn", "prompt", "responses")
"""Columns that are JSON texts where a table has no place for structure."""


def rows(tx: Transaction, project: int, *, with_text: bool = True) -> Iterator[Row]:
    """Every label that counts with its circumstances, in the order they were given.

    `preferred` and `expected` are places in `responses`; `shown_order` has the places from left to right.
    """
    labels, source = votes.all_labels(tx, project), projects.source_of(tx, project)
    while batch := list(islice(labels, BATCH)):
        answers = projects.responses_of(tx, sorted({label["item_id"] for label in batch}))
        for label in batch:
            found = answers[label["item_id"]]
            row = {name: label[name] for name in _SCHEMA if name in label}
            row["at"] = datetime.fromtimestamp(label["created_at"] / 1000, UTC).isoformat()
            row |= {"source": source, "origins": [origin for _, origin in found]}
            if with_text:
                row |= {"prompt": label["prompt"], "responses": [messages for messages, _ in found]}
            yield row


def stream(store: Store, project: int, form: Form, *, with_text: bool = True) -> Iterator[bytes]:
    """A whole export in pieces, read in one transaction: it is the state of one moment."""
    with store.read() as tx:
        needs_text = with_text or form in ("comparisons", "trl")
        yield from _WRITERS[form](rows(tx, project, with_text=needs_text))


def comparison(row: Mapping[str, Any]) -> Comparison | None:
    """The label as one of Gnomon's comparisons; None for what says nothing about which answer is better."""
    if row["outcome"] not in ("prefer", "tie") or row["purpose"] != "ordinary":
        return None
    preference = 0.5 if row["outcome"] == "tie" else 1.0 - row["preferred"]
    label = Label(preference, row["source"], reason=row["rationale"] or "", annotator=row["annotator"])
    values = {
        "id": f"{row['item']}/{row['annotator']}/{row['pass_number']}",
        "prompt": {"messages": row["prompt"]},
        "first": row["responses"][0],
        "second": row["responses"][1],
    }
    read = from_json(Comparison, values)
    return Comparison(read.id, read.prompt, read.first, read.second, label)


def trl(row: Mapping[str, Any]) -> Row | None:
    """The label as a preference row of TRL; None where no answer is preferred, and for gold and repeats."""
    if row["outcome"] != "prefer" or row["purpose"] != "ordinary" or row["pass_number"] != 1:
        return None
    chosen = row["preferred"]
    return {
        "prompt": row["prompt"],
        "chosen": row["responses"][chosen],
        "rejected": row["responses"][1 - chosen],
    }


def _lines(found: Iterable[Row | None]) -> Iterator[bytes]:
    for row in found:
        if row is not None:
            yield (json.dumps(row, ensure_ascii=False) + "\n").encode()


def _comparisons(found: Iterable[Row]) -> Iterator[bytes]:
    records = (comparison(row) for row in found)
    yield from _lines(to_json(record) if record else None for record in records)


def _trl(found: Iterable[Row]) -> Iterator[bytes]:
    yield from _lines(trl(row) for row in found)


def _flat(row: Row) -> Row:
    return {
        name: json.dumps(value, ensure_ascii=False) if name in NESTED and value is not None else value
        for name, value in row.items()
    }


def _csv(found: Iterable[Row]) -> Iterator[bytes]:
    buffer = io.StringIO(newline="")
    writer: csv.DictWriter[str] | None = None
    for row in found:
        if writer is None:
            writer = csv.DictWriter(buffer, list(row))
            writer.writeheader()
        writer.writerow({name: _tame(value) for name, value in _flat(row).items()})
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    if writer is None:
        yield (",".join(_SCHEMA) + "\r\n").encode()


def _tame(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


class _Sink(io.RawIOBase):
    """A file that Parquet is written to and that is emptied on the way."""

    def __init__(self) -> None:
        self.waiting, self._written = bytearray(), 0

    def write(self, data: Any) -> int:
        self.waiting += data
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written

    def writable(self) -> bool:
        return True

    def drain(self) -> bytes:
        """What was written since the last time."""
        piece = bytes(self.waiting)
        self.waiting.clear()
        return piece


def _parquet(found: Iterable[Row]) -> Iterator[bytes]:
    sink, source = _Sink(), iter(found)
    first = list(islice(source, BATCH))
    columns = _SCHEMA | (_TEXTS if not first or "prompt" in first[0] else {})
    schema = pa.schema(list(columns.items()))
    with pq.ParquetWriter(sink, schema) as writer:
        batch = first
        while batch:
            writer.write_table(pa.Table.from_pylist([_flat(row) for row in batch], schema=schema))
            yield sink.drain()
            batch = list(islice(source, BATCH))
    yield sink.drain()


_WRITERS: dict[Form, Callable[[Iterable[Row]], Iterator[bytes]]] = {
    "jsonl": _lines,
    "csv": _csv,
    "parquet": _parquet,
    "comparisons": _comparisons,
    "trl": _trl,
}
