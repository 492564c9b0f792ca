"""An audit of what a folder or a file holds of a constitution's work: labels, revisions, answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from gnomon.constitution.audit import audit
from gnomon.constitution.monitors import answer_report, revision_report
from gnomon.constitution.principles import Constitution, load_constitution
from gnomon.data.files import read_rows
from gnomon.data.splits import named_clusters, opening
from gnomon.errors import DataError, GnomonError
from gnomon.pipeline.feedback import ROWS
from gnomon.records import Critique, from_json
from gnomon.reports.folder import AUDIT, CRITIQUES
from gnomon.reports.render import render_report
from gnomon.runs import RunFolder, held, write_json

ANSWERS = "answers.jsonl"


def audit_of(place: Path, source: str | None = None) -> dict[str, Any]:
    """The audit of a run's folder, of one that labels or revisions were written to, or of one such file.

    `source` is the constitution whose weights are shown; else it is the one the folder's settings name, as
    long as it is still the one the labels were made under. The audit of a folder is written to audit.json in
    it, and its report, where it has one, is rendered again. DataError where there is nothing to audit, or a
    row cannot be read; ConfigError where another process holds the folder.
    """
    with held(place):
        labels, critiques, answers = _rows(place)
        if not labels and not critiques and not answers:
            raise DataError(
                f"{place} holds no labels of gnomon constitution compare, no critiques and no answers to "
                "audit"
            )
        constitution = _constitution(place, source)
        report = audited(labels, critiques, answers, constitution, named=source is not None)
        if place.is_dir():
            write_json(place / AUDIT, report)
            if (place / "report.html").exists():
                render_report(place)
    return report


def audited(
    labels: Sequence[Mapping[str, Any]],
    critiques: Sequence[Critique],
    answers: Sequence[Mapping[str, Any]],
    constitution: Constitution | None = None,
    *,
    named: bool = False,
) -> dict[str, Any]:
    """The parts there are rows of, and what all of them warn of; whose weights are shown is as in `audit`."""
    parts: dict[str, Any] = {}
    if labels:
        texts = [row["prompt"] for row in labels]
        clusters = named_clusters([row["id"] for row in labels], texts)
        parts["labels"] = audit(labels, clusters, constitution, named=named)
    if critiques:
        ids, texts = [row.id for row in critiques], [opening(row.prompt) for row in critiques]
        parts["revisions"] = revision_report(critiques, named_clusters(ids, texts))
    if answers:
        ids, texts = [row["prompt_id"] for row in answers], [row["prompt"] for row in answers]
        parts["answers"] = answer_report(answers, named_clusters(ids, texts))
    return parts | {"warnings": [told for part in parts.values() for told in part.get("warnings", ())]}


def _rows(place: Path) -> tuple[list[Any], list[Critique], list[Any]]:
    """The labels, critiques and answers of a folder, or of a file that has one kind of them."""
    files = [place / name for name in (ROWS, CRITIQUES, ANSWERS)] if place.is_dir() else [place]
    if not place.exists():
        raise DataError(f"{place} is not there; name a run's folder, or a file of labels or critiques")
    written = [file for file in files if file.is_file() and file.stat().st_size]
    rows = [row for file in written for _, row in read_rows(file)]
    labels = [row for row in rows if "opinions" in row]
    critiques = [from_json(Critique, row) for row in rows if "critique" in row]
    return labels, critiques, [row for row in rows if row.keys() >= {"answer", "model", "prompt_id"}]


def _constitution(place: Path, source: str | None) -> Constitution | None:
    """The one that is named, or that a run's settings name; None where it can be read no more."""
    if source is not None:
        return load_constitution(source)
    config = RunFolder(place).config
    if not config.is_file():
        return None
    try:
        settings = yaml.safe_load(config.read_text(encoding="utf-8"))
        return load_constitution(settings["data"]["constitution"])
    except (GnomonError, KeyError, TypeError, yaml.YAMLError):
        return None
