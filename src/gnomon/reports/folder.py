"""What a run left in its folder, read once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from gnomon.errors import ConfigError, DataError
from gnomon.records import Critique, from_json
from gnomon.runs import RunFolder, read_metrics
from gnomon.store import content_id

Row = dict[str, Any]

AUDIT = "audit.json"
"""What an audit of a constitution found."""

CRITIQUES = "critiques.jsonl"
"""Answers, what was criticised in them, and their revisions."""


@dataclass(frozen=True, slots=True)
class Run:
    """The parts of a run, parsed; those that were not made are empty. `day` is when it was made."""

    summary: Row
    answers: list[Row]
    metrics: dict[str, list[Row]]
    manifest: Row
    settings: str
    critiques: list[Critique]
    day: str
    audit: Row


def read_run(path: Path) -> Run:
    """Parse a run folder, where only summary.json must be; DataError names a file or row that is not JSON, or
    the settings of a later run, which has left what it made among what the summary is of."""
    folder, file = RunFolder(path), path / "summary.json"
    if not file.is_file():
        raise DataError(f"{path} has no summary.json; finish the run, then render its report again")
    summary, settings = _object(_text(file), file), _text(folder.config)
    made_by = summary.get("run", {}).get("settings")
    if made_by and settings and _settings_id(settings) != made_by:
        raise DataError(
            f"{file} is of other settings than {folder.config}, of a run that has not ended; finish that "
            "run, or go back to the settings of before, then render the report again"
        )
    manifest = _object(_text(folder.manifest) or "{}", folder.manifest)
    return Run(
        summary=summary,
        answers=_rows(path / "answers.jsonl"),
        metrics={log.stem: read_metrics(log) for log in sorted(path.glob("metrics/*.jsonl"))},
        manifest=manifest,
        settings=settings,
        critiques=[from_json(Critique, row) for row in _rows(path / CRITIQUES)],
        day=_day(manifest) or date.fromtimestamp(file.stat().st_mtime).isoformat(),
        audit=_object(_text(path / AUDIT) or "{}", path / AUDIT),
    )


def _day(manifest: Mapping[str, Any]) -> str:
    """The day the last artefact was finished, or nothing."""
    artefacts = manifest.get("artefacts", {}).values()
    return max((str(about.get("finished", "")) for about in artefacts), default="")[:10]


def _settings_id(settings: str) -> str | None:
    """The id of settings as they were written; None where they have become what no settings are."""
    try:
        return content_id(yaml.safe_load(settings))
    except (yaml.YAMLError, ConfigError):
        return None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _rows(path: Path) -> list[Row]:
    lines = enumerate(_text(path).split("\n"), start=1)
    return [_object(line, f"row {number} of {path}") for number, line in lines if line.strip()]


def _object(text: str, where: object) -> Row:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as problem:
        raise DataError(f"{where} is not JSON ({problem}); delete the file and run again") from problem
    if not isinstance(values, dict):
        raise DataError(f"{where}: an object is needed here, not a {type(values).__name__}")
    return values
