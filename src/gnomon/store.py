"""Content-addressed artefacts: folders that are there whole or not at all, and show damage."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safetensors import SafetensorError

from gnomon.errors import ConfigError, StorageError
from gnomon.runs import (
    AGAIN,
    FULL,
    exclusive,
    full_disk,
    read_json,
    storing,
    sync,
    write_json,
    write_text,
)

__all__ = ["Store", "content_id", "file_digest", "read_json", "write_json", "write_text"]

MANIFEST = "artefact.json"
NEARLY_NOTHING = 2**16
NOTHING: Mapping[str, Any] = MappingProxyType({})


def content_id(value: Any) -> str:
    """16 hex digits of the sha256 of a value's canonical JSON; ConfigError where it is not JSON."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise ConfigError(f"an artefact's id cannot be made of {value!r}: {problem}") from problem
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """The sha256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    """Artefacts in the folder `root`, each under its id; what is unfinished lies in `root/.work`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._work = root / ".work"
        with storing(root):
            self._work.mkdir(parents=True, exist_ok=True)
            self._clean()

    def path(self, id: str) -> Path:
        """Where the artefact is, or will be."""
        return self.root / id

    def has(self, id: str) -> bool:
        """Whether the artefact is there."""
        return (self.path(id) / MANIFEST).is_file()

    def ids(self) -> list[str]:
        """Every artefact there is, in the order of their ids."""
        return sorted(path.parent.name for path in self.root.glob(f"*/{MANIFEST}"))

    def about(self, id: str) -> dict[str, Any]:
        """The artefact's manifest: what its writer told, and `files` with each one's bytes and sha256."""
        about: dict[str, Any] = read_json(self.path(id) / MANIFEST)
        return about

    def open(self, id: str, *, verify: bool = False) -> Path:
        """The artefact's folder, its files' sizes checked, with `verify` their digests too."""
        folder = self.path(id)
        for name, wrote in self.about(id)["files"].items():
            file = folder / name
            if not file.is_file():
                wrong = "is missing"
            elif (size := file.stat().st_size) != wrote["bytes"]:
                wrong = f"has {size:,} bytes where {wrote['bytes']:,} were written"
            elif verify and file_digest(file) != wrote["sha256"]:
                wrong = "has another content than was written"
            else:
                continue
            raise StorageError(f"{file} {wrong}; delete the folder {folder} {AGAIN}")
        return folder

    def partial(self, id: str) -> Path:
        """A folder for unfinished work on an artefact: it outlives the process and goes on completion."""
        folder = self._work / f"{id}.partial"
        with storing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def write(self, id: str, about: Mapping[str, Any] = NOTHING) -> Iterator[Path]:
        """A folder to fill: it becomes the artefact when the block ends, and is gone where it fails.

        `about` goes into the manifest as it is when the block ends. StorageError on a full disk or a
        forbidden folder; ConfigError while another process writes the same artefact.
        """
        draft = self._work / f"{id}.draft"
        with exclusive(self._work / f"{id}.lock", f"artefact {id}"), storing(self.root):
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            try:
                with full_disk_told(self.root, draft):
                    yield draft
                    self._commit(id, draft, about)
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def _commit(self, id: str, draft: Path, about: Mapping[str, Any]) -> None:
        files = [path for path in sorted(draft.rglob("*")) if path.is_file()]
        wrote = {
            path.relative_to(draft).as_posix(): {"bytes": path.stat().st_size, "sha256": file_digest(path)}
            for path in files
        }
        write_json(draft / MANIFEST, {**about, "id": id, "files": wrote})
        for path in (*draft.rglob("*"), draft):
            sync(path)
        if not self.has(id):
            shutil.rmtree(self.path(id), ignore_errors=True)
            draft.rename(self.path(id))
            sync(self.root)
        shutil.rmtree(self._work / f"{id}.partial", ignore_errors=True)

    def _clean(self) -> None:
        """Remove drafts of dead processes, and unfinished work on artefacts that are there by now."""
        names = [path for path in self._work.iterdir() if path.suffix != ".partial" or self.has(path.stem)]
        for name in {path.stem for path in names}:
            with suppress(ConfigError), exclusive(self._work / f"{name}.lock", name):
                shutil.rmtree(self._work / f"{name}.draft", ignore_errors=True)
                if self.has(name):
                    shutil.rmtree(self._work / f"{name}.partial", ignore_errors=True)


class KeptRows:
    """JSON objects by their `id`, those of earlier processes too, in a file that is only ever added to.

    A line that was cut short by a kill or a full disk counts as not there. Without a path nothing outlives
    the process.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        content = b""
        if path is not None and path.exists():
            with storing(path.parent):
                content = path.read_bytes()
        self._whole = not content or content.endswith(b"\n")
        self.rows: list[Any] = []
        for line in content.splitlines():
            with suppress(ValueError):
                self.rows.append(json.loads(line))

    def add(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Add rows by their ids; they are in the file when this returns."""
        if self.path is None:
            return
        text = b"".join(json.dumps({"id": key, **row}).encode() + b"\n" for key, row in rows.items())
        with storing(self.path.parent, len(text)):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            begun, self._whole = self._whole, False
            with self.path.open("ab") as file:
                file.write(text if begun else b"\n" + text)
            self._whole = True


@contextmanager
def full_disk_told(root: Path, draft: Path) -> Iterator[None]:
    """A full disk as StorageError, with the bytes of the draft as what is needed at least.

    torch and safetensors report a full disk as errors of their own, without the system's number.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as problem:
        if isinstance(problem, OSError):
            full = problem.errno in FULL
        else:
            full = "No space left" in str(problem) or shutil.disk_usage(root).free < NEARLY_NOTHING
        if not full:
            raise
        written = sum(path.stat().st_size for path in draft.rglob("*") if path.is_file())
        raise StorageError(full_disk(root, written or None)) from problem
