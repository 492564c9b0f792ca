import gzip
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon.data.files import file_stem, read_rows
from gnomon.errors import ConfigError, DataError

TWO = [{"a": "é", "b": 1}, {"a": "x\ny", "b": 2}]
LINES = "".join(json.dumps(row) + "\n" for row in TWO)


def read(path):
    return list(read_rows(path))


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        LINES,
        "\ufeff" + LINES,
        json.dumps(TWO),
        json.dumps(TWO, indent=2),
        json.dumps({"data": TWO}),
        json.dumps({"version": 1, "rows": TWO}, indent=1),
        json.dumps({"rows": [{"row_idx": i, "row": row} for i, row in enumerate(TWO)]}),
    ],
)
@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows"])
def test_json_is_told_by_its_content_not_by_its_ending(tmp_path, content, name):
    assert read(write(tmp_path, name, content)) == [(1, TWO[0]), (2, TWO[1])]


def test_one_row_of_json_lines_is_a_row_not_a_wrapper(tmp_path):
    path = write(tmp_path, "one.jsonl", '{"prompt": "hi", "rows": [1, 2]}')
    assert read(path) == [(1, {"prompt": "hi", "rows": [1, 2]})]


@pytest.mark.parametrize(
    "content", ['{"a": "\\ud83d"}\n{"a": "\\ud83d\\ude00"}', '[{"a": "\\ud83d"}, {"a": "😀"}]']
)
def test_half_a_surrogate_pair_is_told_where_it_is_read(tmp_path, content):
    path, bad = write(tmp_path, "rows.json", content), []
    assert list(read_rows(path, lambda *told: bad.append(told))) == [(2, {"a": "😀"})]
    assert [(number, problem.reason) for number, problem in bad] == [(1, "half a character")]
    with pytest.raises(DataError, match=r"row 1 of rows.json: '\\ud83d' is half a surrogate pair"):
        read(path)


def test_gzip_is_told_by_its_content(tmp_path):
    assert read(write(tmp_path, "rows.jsonl", gzip.compress(LINES.encode()))) == [(1, TWO[0]), (2, TWO[1])]


def test_parquet(tmp_path):
    pq.write_table(pa.Table.from_pylist(TWO), tmp_path / "rows.parquet")
    assert read(tmp_path / "rows.parquet") == [(1, TWO[0]), (2, TWO[1])]


@pytest.mark.parametrize(("name", "mark"), [("t.csv", ","), ("t.tsv", "\t"), ("t.csv", ";"), ("t.txt", ",")])
def test_tables_keep_quoted_line_ends_and_lose_the_byte_order_mark(tmp_path, name, mark):
    path = write(tmp_path, name, f'\ufeffa{mark}b\r\né{mark}1\r\n"x\r\ny, ""z"""{mark}2\r\n')
    assert read(path) == [(1, {"a": "é", "b": "1"}), (2, {"a": 'x\r\ny, "z"', "b": "2"})]


def test_a_table_cell_may_be_longer_than_the_csv_module_allows_by_itself(tmp_path):
    assert read(write(tmp_path, "t.csv", f"prompt\n{'w' * 200_000}\n"))[0][1]["prompt"] == "w" * 200_000


def test_rows_are_numbered_by_line_so_that_blank_lines_do_not_shift_them(tmp_path):
    assert [number for number, _ in read(write(tmp_path, "r.jsonl", '{"a": 1}\n\n{"a": 2}\n'))] == [1, 3]


def test_bad_rows_stop_the_reading_unless_somebody_takes_them(tmp_path):
    path = write(tmp_path, "r.jsonl", '{"a": 1}\n{"a": \n[3]\n{"a": 4}\n')
    with pytest.raises(DataError, match=r"row 2 of r\.jsonl: not valid JSON"):
        read(path)
    bad = []
    rows = list(read_rows(path, lambda number, problem: bad.append((number, problem.reason))))
    assert rows == [(1, {"a": 1}), (4, {"a": 4})]
    assert bad == [(2, "not valid JSON"), (3, "not an object")]


def test_a_broken_first_line_does_not_hide_that_the_rest_are_json_lines(tmp_path):
    bad = []
    path = write(tmp_path, "r.jsonl", '{"a": \n{"a": 2}\n')
    assert list(read_rows(path, lambda number, _: bad.append(number))) == [(2, {"a": 2})]
    assert bad == [1]


def test_a_table_row_with_other_columns_than_the_header_is_bad(tmp_path):
    bad = []
    path = write(tmp_path, "t.csv", "a,b\n1,2,3\n4\n5,6\n")
    rows = list(read_rows(path, lambda number, problem: bad.append((number, problem.reason))))
    assert rows == [(3, {"a": "5", "b": "6"})]
    assert bad == [(1, "wrong number of columns"), (2, "wrong number of columns")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        ('{"a": "caf\xe9"}\n'.encode("latin-1"), "not UTF-8 text.*iconv"),
        (LINES.encode("utf-16"), "UTF-16"),
        (gzip.compress(LINES.encode() * 500, mtime=0)[:-20], "cut short or damaged; download"),
        (b"\x7fELF\x00\x01", "binary"),
        ("hello\nworld\n", "plain text"),
        ('[{"a": 1},\n {"a": ', "not valid JSON.*cut short"),
        ('{\n "a": 1,\n "b": 2\n}\n', "one JSON object with the keys a, b"),
        (b"PAR1 and then nothing of the kind", "not a whole Parquet file"),
        ('a,b\n1,"2\n', "check the quotes"),
    ],
)
def test_a_file_that_cannot_be_read_says_why_and_what_to_do(tmp_path, content, says):
    with pytest.raises(DataError, match=says):
        read(write(tmp_path, "rows", content))


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(
        DataError, match=r"org/rows does not exist; .*; a data set of the hub is hub:org/rows"
    ):
        list(read_rows(Path("org/rows")))
    with pytest.raises(DataError, match=r"does not exist; check the path \(it is relative to .*\)$"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        read(tmp_path)


def test_hub_names_need_an_organisation_and_the_extra(monkeypatch):
    with pytest.raises(ConfigError, match="hub:ORG/NAME"):
        read("hub:name")
    monkeypatch.setitem(sys.modules, "datasets", None)  # as where it is not installed
    with pytest.raises(ConfigError, match=r"pip install 'gnomon\[hub\]'"):
        read("hub:org/name:test")


def test_the_stem_has_no_folders_and_no_endings():
    assert file_stem("a/b/prefs.v1.jsonl.gz") == "prefs"
    assert file_stem("hub:org/name:test") == "org/name:test"
