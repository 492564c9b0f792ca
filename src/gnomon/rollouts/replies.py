"""Answers that were paid for, kept on the disk: one JSON line each, added as they come."""

from dataclasses import asdict
from pathlib import Path

from gnomon.errors import StorageError
from gnomon.rollouts.engine import Sample
from gnomon.runs import AGAIN
from gnomon.store import KeptRows


class Replies:
    """Samples by the id of their request; with a path, those of earlier processes too.

    A line that was cut short by a kill or a full disk counts as not there. Nothing is ever rewritten.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._kept = KeptRows(path)
        self._samples: dict[str, Sample] = {}
        for row in self._kept.rows:
            try:
                key = row.pop("id")
                lists = {name: tuple(row[name]) for name in ("prompt_ids", "response_ids", "logps")}
                self._samples[key] = Sample(**row | lists)
            except (AttributeError, KeyError, TypeError) as problem:
                raise StorageError(
                    f"{path} holds something else than an endpoint's replies; name another file {AGAIN}"
                ) from problem

    def __contains__(self, id: str) -> bool:
        return id in self._samples

    def __getitem__(self, id: str) -> Sample:
        return self._samples[id]

    def add(self, id: str, sample: Sample) -> None:
        """Keep a sample; it is in the file when this returns."""
        self._samples[id] = sample
        self._kept.add({id: asdict(sample)})
