"""Labels on their way out: JSON Lines, CSV, Parquet, Gnomon's comparisons, rankings, preferences for TRL."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.data.implied import implied
from gnomon.labelling.settings import STRENGTHS, LabelSource
from gnomon.labelling.store import cases, projects, votes
from gnomon.labelling.store.database import Store, Transaction
from gnomon.records import Comparison, Label, from_json, implied_weight, to_json

Form = Literal["jsonl", "csv", "parquet", "comparisons", "rankings", "trl"]
Row = dict[str, Any]

ENDINGS: dict[Form, str] = {
    "jsonl": "jsonl",
    "csv": "csv",
    "parquet": "parquet",
    "comparisons": "comparisons.jsonl",
    "rankings": "rankings.jsonl",
    "trl": "trl.jsonl",
}
MEDIA_TYPES: dict[Form, str] = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "comparisons": "application/x-ndjson",
    "rankings": "application/x-ndjson",
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
    "label_source": pa.string(),
    "decided": pa.bool_(),
    "seen": pa.string(),
    "ranks": pa.string(),
    "drawn": pa.string(),
    "probe": pa.string(),
}
_TEXTS = {"prompt": pa.string(), "responses": pa.string()}
NESTED = ("flags", "shown_order", "origins", "seen", "ranks", "drawn", "probe", "prompt", "responses")
"""Columns that are JSON texts where a table has no place for structure."""
_SOURCES: Mapping[votes.Kind, LabelSource] = {"label": "vote", "decision": "adjudicated"}


def rows(tx: Transaction, project: int, *, with_text: bool = True) -> Iterator[Row]:
    """Every vote that counts with its circumstances, in the order they were given; then every decision.

    `preferred` and `expected` are places in `responses`; `shown_order` has the places from left to right.
    A vote is `decided` where somebody decided on its item; a decision has the ids of the votes `seen`.
    """
    settled, source = cases.decided(tx, project), projects.settings_of(tx, project).source
    for kind, label_source in _SOURCES.items():
        labels = votes.all_of(tx, project, kind, with_text=with_text)
        while batch := list(islice(labels, BATCH)):
            keys = sorted({label["item_id"] for label in batch})
            answers = projects.responses_of(tx, keys, with_text=with_text)
            for label in batch:
                row = _row(label, answers[label["item_id"]], with_text=with_text)
                row |= {"source": source, "label_source": label_source}
                row |= {name: label.get(name) for name in ("seen", "ranks")}
                yield row | {"decided": label["item_id"] in settled}


def _row(label: Mapping[str, Any], found: Sequence[tuple[Any, str | None]], *, with_text: bool) -> Row:
    row = {name: label[name] for name in _SCHEMA if name in label}
    row["at"] = datetime.fromtimestamp(label["created_at"] / 1000, UTC).isoformat()
    row["origins"] = [origin for _, origin in found]
    if with_text:
        row |= {"prompt": label["prompt"], "responses": [messages for messages, _ in found]}
    return row


def stream(store: Store, project: int, form: Form, *, with_text: bool = True) -> Iterator[bytes]:
    """A whole export in pieces, read in one transaction: it is the state of one moment."""
    with store.read() as tx:
        needs_text = with_text or form in ("comparisons", "rankings", "trl")
        yield from _WRITERS[form](rows(tx, project, with_text=needs_text))


def comparisons(row: Mapping[str, Any]) -> list[Comparison]:
    """The label as Gnomon's comparisons: one for a preference or a tie, one for each pair a ranking implies.

    None for what says nothing about which answer is better, and for votes on a pair that somebody decided:
    the decision stands for them.
    """
    if row["purpose"] != "ordinary" or _superseded(row):
        return []
    name, label = _name(row), Label(0.5, row["source"], row["rationale"] or "", annotator=row["annotator"])
    if row["outcome"] == "ranked":
        label = replace(label, weight=implied_weight(len(row["ranks"])), ranking=name)
        return [
            _compared(row, f"{name}/{first}-{second}", (first, second), replace(label, preference=preference))
            for first, second, preference in implied(row["ranks"])
        ]
    if row["outcome"] not in ("prefer", "tie"):
        return []
    preference = 0.5 if row["outcome"] == "tie" else 1.0 - row["preferred"]
    adjudicated = row["label_source"] == "adjudicated"
    strength = row["strength"] / len(STRENGTHS) if row["strength"] else None
    label = replace(label, preference=preference, adjudicated=adjudicated, strength=strength)
    return [_compared(row, name, (0, 1), label)]


def trl(row: Mapping[str, Any]) -> list[Row]:
    """The label as preference rows of TRL; none where no answer is preferred, for gold and for repeats.

    Rows that one ranking implies have its id as `ranking`. A decision stands for the votes on its pair.
    """
    if row["purpose"] != "ordinary" or row["pass_number"] > 1 or _superseded(row):
        return []
    if row["outcome"] == "prefer":
        return [_preferred(row, row["preferred"], 1 - row["preferred"])]
    return [
        _preferred(row, *((first, second) if preference else (second, first))) | {"ranking": _name(row)}
        for first, second, preference in implied(row["ranks"] or ())
        if preference != 0.5
    ]


def ranking(row: Mapping[str, Any]) -> Row | None:
    """A ranking whole, as one of the shapes that are read back; None for other labels and for repeats."""
    if row["outcome"] != "ranked" or row["pass_number"] > 1:
        return None
    own = {name: row[name] for name in ("prompt", "annotator", "source", "origins")}
    texts = ["\n".join(message["content"] for message in answer) for answer in row["responses"]]
    return {"id": _name(row), **own, "responses": texts, "rank": row["ranks"]}


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['item']}/{row['annotator']}/{row['pass_number']}"


def _preferred(row: Mapping[str, Any], chosen: int, rejected: int) -> Row:
    responses = row["responses"]
    return {"prompt": row["prompt"], "chosen": responses[chosen], "rejected": responses[rejected]}


def _compared(row: Mapping[str, Any], name: str, places: tuple[int, int], label: Label) -> Comparison:
    first, second = (row["responses"][place] for place in places)
    values = {"id": name, "prompt": {"messages": row["prompt"]}, "first": first, "second": second}
    return replace(from_json(Comparison, values), label=label)


def _superseded(row: Mapping[str, Any]) -> bool:
    return bool(row["decided"] and row["label_source"] == "vote")


def _lines(found: Iterable[Row | None]) -> Iterator[bytes]:
    for row in found:
        if row is not None:
            yield (json.dumps(row, ensure_ascii=False) + "\n").encode()


def _comparisons(found: Iterable[Row]) -> Iterator[bytes]:
    yield from _lines(to_json(record) for row in found for record in comparisons(row))


def _trl(found: Iterable[Row]) -> Iterator[bytes]:
    yield from _lines(pair for row in found for pair in trl(row))


def _rankings(found: Iterable[Row]) -> Iterator[bytes]:
    yield from _lines(ranking(row) for row in found)


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
    "rankings": _rankings,
    "trl": _trl,
}
