"""What a run left in its folder, read once."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from gnomon.errors import DataError
from gnomon.records import Critique, from_json

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The parts of a run, parsed; those that were not made are empty. `day` is when it was made."""

    summary: Row
    answers: list[Row]
    metrics: dict[str, list[Row]]
    manifest: Row
    settings: str
    critiques: list[Critique]
    day: str


def read_run(folder: Path) -> RunFolder:
    """Parse a run folder, where only summary.json must be; DataError names a file or row that is not JSON."""
    summary = folder / "summary.json"
    if not summary.is_file():
        raise DataError(f"{folder} has no summary.json; finish the run, then render its report again")
    manifest, config = folder / "manifest.json", folder / "config.yaml"
    described = _object(manifest.read_text("utf-8"), manifest) if manifest.is_file() else {}
    written = date.fromtimestamp(summary.stat().st_mtime).isoformat()
    return RunFolder(
        summary=_object(summary.read_text("utf-8"), summary),
        answers=_rows(folder / "answers.jsonl"),
        metrics={path.stem: _rows(path) for path in sorted(folder.glob("metrics/*.jsonl"))},
        manifest=described,
        settings=config.read_text("utf-8") if config.is_file() else "",
        critiques=[from_json(Critique, row) for row in _rows(folder / "critiques.jsonl")],
        day=str(described.get("created", written))[:10],
    )


def _rows(path: Path) -> list[Row]:
    if not path.is_file():
        return []
    lines = enumerate(path.read_text("utf-8").split("\n"), start=1)
    return [_object(line, f"row {number} of {path}") for number, line in lines if line.strip()]


def _object(text: str, where: object) -> Row:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as problem:
        raise DataError(f"{where} is not JSON ({problem}); delete it or finish the run again") from problem
    if not isinstance(values, dict):
        raise DataError(f"{where}: an object is needed here, not a {type(values).__name__}")
    return values
