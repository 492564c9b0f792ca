import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from gnomon.errors import ConfigError, DivergenceError, StorageError
from gnomon.runs import MetricsLog, RunFolder, exclusive, read_json, read_metrics, write_json, write_text


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write anywhere, so be nobody for a moment."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "deep/er/file.txt"
    write_text(path, "first, longer")
    write_text(path, "zweite ß")
    assert path.read_text(encoding="utf-8") == "zweite ß"
    assert os.listdir(path.parent) == ["file.txt"]
    write_json(tmp_path / "a.json", {"b": [1, None], "a": "é"})
    assert read_json(tmp_path / "a.json") == {"a": "é", "b": [1, None]}


def test_a_file_that_cannot_take_its_place_leaves_nothing_beside_it(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match="taken"):
        write_text(tmp_path / "taken", "text")
    assert os.listdir(tmp_path) == ["taken"]


def test_what_is_not_json_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, 1)
    for value in (float("nan"), {"x": float("inf")}, {1, 2}):
        with pytest.raises(StorageError, match=r"a\.json was not written"):
            write_json(path, value)
    assert read_json(path) == 1


def test_a_damaged_or_missing_file_is_named(tmp_path):
    (tmp_path / "torn.json").write_text('{"a": 1')
    (tmp_path / "binary.json").write_bytes(b"\xff\x00")
    for name in ("torn.json", "binary.json"):
        with pytest.raises(StorageError, match=f"{name} is damaged"):
            read_json(tmp_path / name)
    with pytest.raises(StorageError, match=r"none\.json cannot be read: No such file"):
        read_json(tmp_path / "none.json")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file.*name another folder"):
        write_text(tmp_path / "file/below.txt", "text")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    with (
        unprivileged(),
        pytest.raises(StorageError, match=r"closed.*Permission denied; let this user write there"),
    ):
        write_text(closed / "below/file.txt", "text")


def test_a_full_disk_is_told_with_what_was_needed_and_a_torn_row_is_not_a_step(tmp_path):
    log = MetricsLog(tmp_path / "log.jsonl")
    log.path.symlink_to("/dev/full")
    with pytest.raises(
        StorageError, match=r"disk or quota is full \(at least 26 bytes are needed, [\d,]+ bytes"
    ):
        log.append(1, {"loss": 2.25})


def test_rows_are_there_at_once_and_a_resumed_log_has_each_step_once(tmp_path):
    path, copy = tmp_path / "work/log.jsonl", tmp_path / "metrics/sft.jsonl"
    log = MetricsLog(path, copy)
    assert read_metrics(path) == []
    for step in range(4):
        log.append(step, {"loss": 4.0 - step, "note": "ä"})
        assert len(read_metrics(copy)) == step + 1
    resumed = MetricsLog(path, copy)
    resumed.truncate_after(1)
    resumed.append(2, {"loss": 0.5})
    expected = [
        {"step": 0, "loss": 4.0, "note": "ä"},
        {"step": 1, "loss": 3.0, "note": "ä"},
        {"step": 2, "loss": 0.5},
    ]
    assert read_metrics(path) == read_metrics(copy) == expected


def test_a_torn_last_line_is_dropped_and_the_next_row_is_whole(tmp_path):
    path, copy = tmp_path / "log.jsonl", tmp_path / "copy.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo')
    copy.write_text('{"step": 1}\n{"step": 2, "loss": 3}\n{"step": 3')
    assert read_metrics(path) == [{"step": 1}]
    MetricsLog(path, copy).append(2, {})
    assert path.read_text() == copy.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_damage_in_the_middle_of_a_log_is_not_passed_over(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1\n{"step": 2}\n')
    with pytest.raises(StorageError, match=r"log\.jsonl is damaged"):
        read_metrics(tmp_path / "log.jsonl")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_json_cannot_hold_stops_the_run_and_is_never_written(tmp_path, value):
    log = MetricsLog(tmp_path / "sft.jsonl")
    log.append(6, {"loss": 1.0})
    with pytest.raises(DivergenceError, match=r"sft: loss is -?(nan|inf) at step 7"):
        log.append(7, {"lr": 0.1, "loss": value})
    assert read_metrics(log.path) == [{"step": 6, "loss": 1.0}]


def test_older_settings_are_kept_when_they_differ(tmp_path):
    run = RunFolder(tmp_path / "run")
    settings = [{"seed": 0, "name": "ü"}, {"seed": 1}, {"seed": 2}]
    assert run.write_config(settings[0]) is None
    assert run.write_config(settings[0]) is None
    assert [run.write_config(s).name for s in settings[1:]] == ["config.1.yaml", "config.2.yaml"]
    names = ("config.1.yaml", "config.2.yaml", "config.yaml")
    assert [yaml.safe_load((run.path / name).read_text(encoding="utf-8")) for name in names] == settings


def test_a_run_folder_belongs_to_one_process_at_a_time(tmp_path):
    run = RunFolder(tmp_path)
    script = (
        "import sys, time; from pathlib import Path; from gnomon.runs import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).open(): print('in', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline() == b"in\n"
            with (
                pytest.raises(ConfigError, match=f"{tmp_path} is in use by process {holder.pid}"),
                run.open(),
            ):
                pass
        finally:
            holder.kill()
    (tmp_path / ".config.yaml.1-2.tmp").write_text("half")
    with run.open():
        assert read_json(tmp_path / ".lock") == os.getpid()
        assert not list(tmp_path.glob("*.tmp"))
    assert not (tmp_path / ".lock").exists()


def test_a_lock_is_given_back_when_its_block_fails(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), exclusive(tmp_path / "lock", "this"):
            json.dumps(1 / 0)
    with (
        exclusive(tmp_path / "lock", "this"),
        pytest.raises(ConfigError, match=f"this is in use by process {os.getpid()}"),
        exclusive(tmp_path / "lock", "this"),
    ):
        pass
