"""Answers that were paid for, kept on the disk: one JSON line each, added as they come."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

from gnomon.errors import StorageError
from gnomon.rollouts.engine import Sample
from gnomon.rollouts.letters import Letters
from gnomon.runs import AGAIN
from gnomon.store import KeptRows

R = TypeVar("R", Sample, Letters)


class Replies(Generic[R]):
    """Replies of one kind by the id of their request; with a path, those of earlier processes too.

    A line that was cut short by a kill or a full disk counts as not there. Nothing is ever rewritten.
    """

    def __init__(self, kind: type[R], path: Path | None = None) -> None:
        self._kept = KeptRows(path)
        self._replies: dict[str, R] = {}
        for row in self._kept.rows:
            try:
                key = row.pop("id")
                values: dict[str, Any] = {
                    name: tuple(v) if isinstance(v, list) else v for name, v in row.items()
                }
                self._replies[key] = kind(**values)
            except (AttributeError, KeyError, TypeError) as problem:
                raise StorageError(
                    f"{path} holds something else than an endpoint's replies; name another file {AGAIN}"
                ) from problem

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
