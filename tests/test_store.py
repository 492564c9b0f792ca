import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gnomon.errors import ConfigError, StorageError
from gnomon.store import Store, content_id, file_digest, read_json

ID = "00000000000000aa"

WRITER = """
import sys, time
from pathlib import Path
from gnomon.store import Store
store, pause = Store(Path(sys.argv[1])), float(sys.argv[2])
with store.write("00000000000000aa", {"seconds": 1}) as folder:
    kept = store.partial("00000000000000aa") / "checkpoint"
    print("resumes at", kept.read_text() if kept.exists() else None, flush=True)
    kept.write_text("3")
    for number in range(40):
        (folder / f"part-{number}").write_bytes(bytes([number]) * 5000)
        if number == 20:
            print("halfway", flush=True)
            time.sleep(pause)
"""


def writer(root: Path, pause: float) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(root), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def visible(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.name != ".work")


def fill(store: Store, id: str = ID) -> Path:
    with store.write(id, {"seconds": 2.5}) as folder:
        (folder / "deep").mkdir()
        (folder / "deep/weights").write_bytes(b"abc")
        (folder / "empty").write_bytes(b"")
    return store.path(id)


def test_an_id_depends_on_content_and_not_on_order_or_kind_of_sequence():
    assert content_id({"a": 1, "b": [1.5, None]}) == content_id({"b": (1.5, None), "a": 1})
    assert content_id({}) == "44136fa355b3678a"  # the start of sha256 of "{}"
    ids = {content_id(value) for value in (1, 1.5, "1", [1], {"a": 1}, {"a": 2}, {"b": 1}, True, None)}
    assert len(ids) == 9
    for value in ({"x": float("nan")}, {"path": Path("x")}, {1: 1, "a": 2}):
        with pytest.raises(ConfigError, match="cannot be made of"):
            content_id(value)


def test_an_artefact_tells_what_it_holds(tmp_path):
    store = Store(tmp_path / "new/store")
    assert not store.has(ID)
    folder = fill(store)
    assert store.has(ID)
    assert store.open(ID, verify=True) == folder
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_digest(folder / "deep/weights") == abc
    about = store.about(ID)
    assert about["files"]["deep/weights"] == {"bytes": 3, "sha256": abc}
    assert (about["id"], about["seconds"], sorted(about["files"])) == (ID, 2.5, ["deep/weights", "empty"])
    assert visible(store.root) == [ID]
    assert not list((store.root / ".work").iterdir())


def test_what_is_told_may_be_filled_in_while_writing(tmp_path):
    store, about = Store(tmp_path), {}
    with store.write(ID, about):
        about["tokens"] = 7
    assert store.about(ID)["tokens"] == 7


def test_damage_is_seen(tmp_path):
    store = Store(tmp_path)
    weights = fill(store) / "deep/weights"
    weights.write_bytes(b"abd")
    store.open(ID)
    with pytest.raises(StorageError, match=r"weights has another content.*delete the folder"):
        store.open(ID, verify=True)
    weights.write_bytes(b"ab")
    with pytest.raises(StorageError, match="weights has 2 bytes where 3 were written"):
        store.open(ID)
    weights.unlink()
    with pytest.raises(StorageError, match="weights is missing"):
        store.open(ID)
    (store.path(ID) / "artefact.json").write_text("{")
    with pytest.raises(StorageError, match=r"artefact\.json is damaged"):
        store.open(ID)


@pytest.mark.parametrize("problem", [ValueError, KeyboardInterrupt])
def test_a_failed_block_leaves_only_its_unfinished_work(tmp_path, problem):
    store = Store(tmp_path)

    def fail() -> None:
        with store.write(ID) as folder:
            (folder / "half").write_text("x")
            (store.partial(ID) / "checkpoint").write_text("3")
            raise problem

    with pytest.raises(problem):
        fail()
    assert not store.has(ID)
    assert visible(tmp_path) == []
    assert (Store(tmp_path).partial(ID) / "checkpoint").read_text() == "3"
    fill(store)
    assert not list(store.partial(ID).iterdir())


def test_a_killed_writer_leaves_nothing_visible_and_its_checkpoint_is_found(tmp_path):
    with writer(tmp_path, 60) as first:
        assert first.stdout.readline() == "resumes at None\n"
        assert first.stdout.readline() == "halfway\n"
        draft = tmp_path / f".work/{ID}.draft"
        assert len(list(draft.iterdir())) == 21
        with pytest.raises(ConfigError, match=f"artefact {ID} is in use by process {first.pid}"):
            fill(Store(tmp_path))
        assert draft.exists()  # opening the store takes nothing from a process that lives
        first.send_signal(signal.SIGKILL)
    assert draft.exists()
    store = Store(tmp_path)
    assert not draft.exists()
    assert not store.has(ID)
    assert visible(tmp_path) == []
    with writer(tmp_path, 0) as second:
        assert second.stdout.read() == "resumes at 3\nhalfway\n"
    assert second.returncode == 0
    assert len(store.about(ID)["files"]) == 40
    store.open(ID, verify=True)
    assert not list((tmp_path / ".work").iterdir())


def test_killed_at_any_moment_an_artefact_is_whole_or_not_there(tmp_path):
    seen = set()
    for delay in (0, 0.005, 0.01, 0.02, 0.03, 0.05, 1):
        root = tmp_path / str(delay)
        with writer(root, 0) as process:
            process.stdout.readline()
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
        store = Store(root)
        seen.add(store.has(ID))
        assert visible(root) == ([ID] if store.has(ID) else [])
        if store.has(ID):
            assert len(store.about(ID)["files"]) == 40
            store.open(ID, verify=True)
            assert not list((root / ".work").iterdir())
    assert True in seen


def test_unfinished_work_of_a_finished_artefact_is_cleaned(tmp_path):
    store = Store(tmp_path)
    fill(store)
    (store.partial(ID) / "checkpoint").write_text("3")
    (store.partial("bb") / "checkpoint").write_text("3")
    Store(tmp_path)
    assert os.listdir(tmp_path / ".work") == ["bb.partial"]


def test_the_first_of_two_equal_artefacts_stays(tmp_path):
    store = Store(tmp_path)
    fill(store)
    with store.write(ID) as folder:
        (folder / "other").write_text("x")
    assert sorted(store.about(ID)["files"]) == ["deep/weights", "empty"]
    store.open(ID, verify=True)


def test_a_full_disk_is_told_and_leaves_no_half_artefact(tmp_path):
    store = Store(tmp_path)

    def write() -> None:
        with store.write(ID) as folder:
            (folder / "first").write_bytes(bytes(1000))
            Path("/dev/full").write_bytes(b"x")

    with pytest.raises(
        StorageError, match=rf"{tmp_path}: .*at least 1,000 bytes.*free space and run the same"
    ):
        write()
    assert visible(tmp_path) == []
    assert not list((tmp_path / ".work").iterdir())
    fill(store)


SMALL_DISK = """
mount -t tmpfs -o size=1m tmpfs "$1" && exec "$2" -c '
import sys
from pathlib import Path
import numpy
from safetensors.numpy import save_file
from gnomon.store import Store
from gnomon.errors import StorageError
store = Store(Path(sys.argv[1]))
writers = {
    "python": lambda path: path.write_bytes(bytes(4_000_000)),
    "safetensors": lambda path: save_file({"x": numpy.zeros(1_000_000)}, path),
}
for name, write in writers.items():
    try:
        with store.write("aa") as folder:
            write(folder / "weights")
    except StorageError as problem:
        print(name, problem)
print(sorted(store.root.iterdir()), list((store.root / ".work").iterdir()))
with store.write("aa") as folder:
    (folder / "small").write_text("fits")
print(sorted(store.open("aa", verify=True).iterdir()))
' "$1"
"""


def test_a_disk_that_really_fills_up(tmp_path):
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs user namespaces")
    command = [unshare, "-rm", "sh", "-c", SMALL_DISK, "sh", str(tmp_path), sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    python, tensors, empty, small = done.stdout.splitlines()
    assert python.startswith(f"python {tmp_path}: the disk or quota is full (at least 1,")
    assert tensors.startswith(f"safetensors {tmp_path}: the disk or quota is full (")
    assert empty == f"[PosixPath('{tmp_path}/.work')] []"
    assert "small" in small


def test_errors_of_the_block_that_are_not_the_stores_go_through(tmp_path):
    for path, kind in ((tmp_path / "none", FileNotFoundError), (Path("/proc"), IsADirectoryError)):
        with pytest.raises(kind), Store(tmp_path / "store").write(ID):
            path.read_bytes()
    with pytest.raises(RuntimeError, match="mine"), Store(tmp_path / "store").write(ID):
        raise RuntimeError("mine")


def test_a_store_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        Store(tmp_path / "file/store")
    with pytest.raises(StorageError, match=r"artefact\.json cannot be read"):
        Store(tmp_path).open(ID)


def test_the_manifest_is_plain_json(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(StorageError, match="not JSON"), store.write(ID, {"loss": float("nan")}):
        pass
    assert not store.has(ID)
    fill(store)
    assert read_json(store.path(ID) / "artefact.json") == store.about(ID)
