import csv
import io
import json
import re
import subprocess
import sys
from itertools import pairwise

import pyarrow.parquet as pq
import pytest
from office import DRAWN, PLAIN, exported, lines, pair, pairs, project, turn
from sqlalchemy import event, insert

from gnomon.data.formats import load
from gnomon.labelling.adjudication import Bench
from gnomon.labelling.export import ENDINGS, NESTED, stream
from gnomon.labelling.judgement import Judgement
from gnomon.labelling.queue import Queue
from gnomon.labelling.store.database import open_store
from gnomon.labelling.store.tables import assignments, events
from gnomon.labelling.tally import summary
from gnomon.records import Comparison

FORMS = tuple(ENDINGS)


@pytest.fixture
def judged(store):
    """A project with four labels of one person: a preference for each side, a tie, a skip."""
    made = project(store, pairs(4), PLAIN)
    who, queue = turn(store, made), Queue(store)
    for judgement in (
        Judgement(
            choice="left", strength=4, left_flags={"wrong"}, rationale='so, "so"\nand ümlaut', active_ms=900
        ),
        Judgement(choice="right", strength=1, elapsed_ms=1500),
        Judgement(choice="tie", rationale="=HYPERLINK(1)"),
        Judgement(choice="skip"),
    ):
        task = queue.next(who)
        queue.submit(who, task.token, judgement, f"key-{task.token}")
    return made


def test_json_lines_have_everything_in_the_order_it_came(store, judged):
    rows = lines(exported(store, judged, "jsonl"))
    assert [row["outcome"] for row in rows] == ["prefer", "prefer", "tie", "skip"]
    first = rows[0]
    assert first["preferred"] == first["shown_order"][0]
    assert rows[1]["preferred"] == rows[1]["shown_order"][1]
    assert first["flags"] == {str(first["preferred"]): ["wrong"]}
    assert first["rationale"] == 'so, "so"\nand ümlaut'
    assert first["responses"][0] == [{"role": "assistant", "content": f"{first['item']}, first"}]
    assert first["origins"] == ["secret-model-1", "secret-model-2"]
    assert (first["source"], first["strength"], first["active_ms"]) == ("person", 4, 900)
    assert (rows[1]["elapsed_ms"], rows[0]["at"]) == (1500, "2023-11-14T22:13:20+00:00")
    assert [row["propensity"] for row in rows] == [1 / 4, 1 / 3, 1 / 2, 1]
    assert all(one["id"] < other["id"] for one, other in pairwise(rows))


def test_an_export_is_the_state_of_one_moment(store):
    """A decision that is made meanwhile is not in it, beside the votes that it stands for."""
    made = project(store, pairs(1), PLAIN.model_copy(update={"overlap": 2}))
    queue, bench, judge = Queue(store), Bench(store), turn(store, made)
    for word in ("first", "second"):
        who = turn(store, made)
        task = queue.next(who)
        side = "left" if task.responses[0][0]["content"].endswith(word) else "right"
        queue.submit(who, task.token, Judgement(choice=side, strength=1), "key-12345")
    pieces = stream(store, made.id, "comparisons")
    begun = next(pieces)
    bench.decide(judge, bench.next(judge).token, Judgement(choice="tie"), "key-12345")
    rows = lines(begun + b"".join(pieces))
    assert [row["label"].get("adjudicated", False) for row in rows] == [False, False]
    assert len(lines(exported(store, made, "comparisons"))) == 1


def test_without_text_there_are_ids_only(store, judged):
    for form in ("jsonl", "csv", "parquet"):
        content = exported(store, judged, form, with_text=False)
        assert b"Question" not in content
        assert b"pair-" in content
    (first, *_) = lines(exported(store, judged, "jsonl", with_text=False))
    assert first["origins"] == ["secret-model-1", "secret-model-2"]


def test_what_is_counted_reads_no_text(store, judged):
    """Results are looked at often, and texts are nearly all that a database holds."""
    said = []

    def keep(connection, cursor, statement, parameters, context, many) -> None:
        said.append(statement)

    event.listen(store.engine, "before_cursor_execute", keep)
    with store.read() as tx:
        assert summary(tx, judged)["labels"] == 4
    assert len(said) > 4
    assert [statement for statement in said if re.search(r"\bmessages\b|\bprompt\b", statement)] == []


def test_tables_say_the_same_as_json_lines(store, judged):
    rows = lines(exported(store, judged, "jsonl"))
    table = pq.read_table(io.BytesIO(exported(store, judged, "parquet"))).to_pylist()
    flat = list(csv.DictReader(io.StringIO(exported(store, judged, "csv").decode(), newline="")))
    assert [
        {**row, **{name: row[name] and json.loads(row[name]) for name in NESTED}} for row in table
    ] == rows
    for row, cells in zip(rows, flat, strict=True):
        for name, value in row.items():
            if value is None or value == "":
                assert cells[name] == ""
            elif name in NESTED:
                assert json.loads(cells[name]) == value
            elif not str(value).startswith("="):
                assert cells[name] == str(value)


def test_a_spreadsheet_runs_no_formula_somebody_typed(store, judged):
    flat = list(csv.DictReader(io.StringIO(exported(store, judged, "csv").decode(), newline="")))
    assert flat[2]["rationale"] == "'=HYPERLINK(1)"


def test_comparisons_are_read_back_as_labels_of_people(store, judged, tmp_path):
    (tmp_path / "labels.jsonl").write_bytes(exported(store, judged, "comparisons"))
    records = load(tmp_path / "labels.jsonl").records
    rows = lines(exported(store, judged, "jsonl"))
    assert len(records) == 3
    for record, row in zip(records, rows, strict=False):
        assert isinstance(record, Comparison)
        assert record.label.source == "person"
        assert record.label.annotator == row["annotator"]
        if row["outcome"] == "tie":
            assert record.is_tie
        else:
            place = ("first", "second")[row["preferred"]]
            assert record.chosen[0].content == f"{row['item']}, {place}"


def test_preference_rows_of_trl(store, judged):
    rows = lines(exported(store, judged, "trl"))
    assert len(rows) == 2
    for row in rows:
        assert row["prompt"][0]["role"] == "user"
        assert {message["role"] for message in row["chosen"] + row["rejected"]} == {"assistant"}
        assert row["chosen"] != row["rejected"]


def test_gold_trains_nothing(store):
    made = project(store, [pair("known", "gold", 0)], PLAIN.model_copy(update={"gold_rate": 1.0}))
    who, queue = turn(store, made), Queue(store)
    queue.submit(who, queue.next(who).token, Judgement(choice="left", strength=1), "key-12345")
    assert lines(exported(store, made, "jsonl"))[0]["expected"] == 0
    assert exported(store, made, "comparisons") == exported(store, made, "trl") == b""


def test_how_a_pair_was_sampled_comes_out_with_its_labels(store):
    made = project(store, [pair("sampled").model_copy(update={"drawn": DRAWN}), pair("other")], PLAIN)
    who, queue = turn(store, made), Queue(store)
    for _ in range(2):
        task = queue.next(who)
        queue.submit(who, task.token, Judgement(choice="tie"), f"key-{task.token}")
    told = {row["item"]: row["drawn"] for row in lines(exported(store, made, "jsonl"))}
    assert told == {"sampled": DRAWN.model_dump(mode="json"), "other": None}
    table = pq.read_table(io.BytesIO(exported(store, made, "parquet"))).to_pylist()
    assert {row["item"]: row["drawn"] and json.loads(row["drawn"]) for row in table} == told


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_exported_as_nothing(store, form):
    content = exported(store, project(store, pairs(1)), form)
    if form == "parquet":
        assert pq.read_table(io.BytesIO(content)).num_rows == 0
    elif form == "csv":
        assert content.startswith(b"id,item,annotator,")
    else:
        assert content == b""


WEIGH = """
import json, resource, sys
from gnomon.labelling.export import stream
from gnomon.labelling.store.database import open_store
store = open_store(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ids, size = set(), 0
for piece in stream(store, 1, sys.argv[2]):
    size += len(piece)
    if sys.argv[2] == "jsonl":
        ids.add(json.loads(piece)["id"])
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"mib": (after - before) / 1024, "size": size, "ids": len(ids)}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_hundred_thousand_labels_stream_in_little_memory(tmp_path, form):
    """100,000 labels with 2,000 characters each: some 400 MB as text, in at most 60 MiB of memory."""
    place = tmp_path / "labels.db"
    store = open_store(place)
    made = project(store, [pair(f"{number}-{'x' * 400}") for number in range(10_000)])
    people = [turn(store, made).annotator_id for _ in range(10)]
    with store.write() as tx:
        row = {"project_id": made.id, "pass_number": 1, "shown_order": [1, 0], "chosen_by": "uniform"}
        row |= {"propensity": 0.1, "state": "done", "created_at": 0, "expires_at": 0}
        tx.connection.execute(
            insert(assignments),
            [
                {**row, "token": f"{item}-{who}", "item_id": item, "annotator_id": who}
                for item in range(1, 10_001)
                for who in people
            ],
        )
        said = {
            "kind": "label",
            "outcome": "prefer",
            "preferred": 1,
            "strength": 2,
            "flags": {},
            "rationale": "",
        }
        tx.connection.execute(
            insert(events),
            [
                {**said, "assignment_id": number, "idempotency_key": str(number), "created_at": number}
                for number in range(1, 100_001)
            ],
        )
    store.close()
    run = [sys.executable, "-c", WEIGH, str(place), form]
    weighed = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    assert weighed["mib"] < 60
    assert (weighed["size"] > 1_000_000) == (form != "rankings"), "all of them are pairs"
    assert weighed["ids"] == (100_000 if form == "jsonl" else 0)
