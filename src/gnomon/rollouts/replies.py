"""Answers that were paid for, kept on the disk: one JSON line each, added as they come."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

from gnomon.distributed import rank
from gnomon.errors import StorageError
from gnomon.rollouts.engine import Sample
from gnomon.rollouts.letters import Letters
from gnomon.runs import AGAIN
from gnomon.store import KeptRows

R = TypeVar("R", Sample, Letters)


class Replies(Generic[R]):
    """Replies of one kind by the id of their request; with a path, those of earlier processes too.

    A line that was cut short by a kill or a full disk counts as not there. Nothing is ever rewritten.
    `others` are files that are read and not added to; `found` is how many replies there were to begin with.
    """

    def __init__(self, kind: type[R], path: Path | None = None, others: Sequence[Path] = ()) -> None:
        self._kept = KeptRows(path)
        self._replies: dict[str, R] = _read(kind, path, self._kept.rows)
        for other in others:
            self._replies |= _read(kind, other, KeptRows(other).rows)
        self.found = len(self._replies)

    @classmethod
    def of_each(cls, kind: type[R], path: Path) -> "Replies[R]":
        """Where each of several processes asks for itself: the replies to all of them, however many there
        were, in files NAME-0, NAME-1 and so on, of which this process adds to its own."""
        own = path.with_name(f"{path.stem}-{rank()}{path.suffix}")
        called = re.compile(rf"{re.escape(path.stem)}-\d+{re.escape(path.suffix)}")
        there = [file for file in sorted(path.parent.glob("*")) if called.fullmatch(file.name)]
        return cls(kind, own, [file for file in there if file != own])

    def __contains__(self, id: str) -> bool:
        return id in self._replies

    def __len__(self) -> int:
        return len(self._replies)

    def __getitem__(self, id: str) -> R:
        return self._replies[id]

    def add(self, id: str, reply: R) -> None:
        """Keep a reply; it is in the file when this returns."""
        self._replies[id] = reply
        self._kept.add({id: asdict(reply)})


def _read(kind: type[R], path: Path | None, rows: Iterable[Any]) -> dict[str, R]:
    """The replies in the rows of a file; StorageError where they are none."""
    found: dict[str, R] = {}
    for row in rows:
        try:
            key = row.pop("id")
            values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}
            found[key] = kind(**values)
        except (AttributeError, KeyError, TypeError) as problem:
            raise StorageError(
                f"{path} holds something else than an endpoint's replies; name another file {AGAIN}"
            ) from problem
    return found
