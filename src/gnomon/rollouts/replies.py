"""Answers that were paid for, kept on the disk: one JSON line each, added as they come."""

import json
from dataclasses import asdict
from pathlib import Path

from gnomon.errors import StorageError
from gnomon.rollouts.engine import Sample
from gnomon.runs import AGAIN, storing


class Replies:
    """Samples by the id of their request; with a path, those of earlier processes too.

    A line that was cut short by a kill or a full disk counts as not there. Nothing is ever rewritten.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        content = b""
        if path is not None and path.exists():
            with storing(path.parent):
                content = path.read_bytes()
        self._whole = not content or content.endswith(b"\n")
        self._samples: dict[str, Sample] = {}
        for line in content.splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
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
        if self.path is None:
            return
        line = json.dumps({"id": id, **asdict(sample)}).encode() + b"\n"
        with storing(self.path.parent, len(line)):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            begun, self._whole = self._whole, False
            with self.path.open("ab") as file:
                file.write(line if begun else b"\n" + line)
            self._whole = True
