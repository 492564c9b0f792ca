"""What a terminal shows of a labeller: the gate, and how well each way of judging does."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.padding import Padding
from rich.text import Text

from gnomon.markup import visible
from gnomon.reports.tables import cell, metric, titled, written

SHAPES = ("soft", "clamped", "hard")


def modes_table(summary: Mapping[str, Any]) -> Padding:
    """Modes as rows: accuracy, flips, and the calibration error of each shape of label."""
    title = (
        f"{summary['labeller']} on {summary['pairs']} pairs of {summary['clusters']} conversations; "
        "calibration error of soft, clamped and hard labels"
    )
    table = titled(title)
    table.add_column("mode", no_wrap=True)
    for heading in (metric("accuracy").title, metric("flips").title, "Says A"):
        table.add_column(heading, justify="right")
    for shape in SHAPES:
        table.add_column(shape, justify="right")
    for name, own in summary["modes"].items():
        table.add_row(
            Text(visible(name)),
            cell("accuracy", own["accuracy"]),
            cell("flips", own["flip_rate"]),
            written("accuracy", own["says_first"]),
            *(_error(own, f"ece_{shape}") for shape in SHAPES),
        )
    for name, own in summary["baselines"].items():
        table.add_row(Text(visible(name), "dim"), cell("accuracy", own["accuracy"]), "–", *["–"] * 4)
    return Padding(table, (1, 0, 0, 0), expand=False)


def _error(own: Mapping[str, Any], name: str) -> Text:
    """Less what chance adds, over its interval, where there is one."""
    estimate = own.get(f"{name}_interval")
    return cell("ece", estimate) if estimate else Text(written("ece", own[name]))


def modes_notes(summary: Mapping[str, Any]) -> Iterator[str]:
    """What to know beside the table."""
    for name in summary["skipped"]:
        yield f"{name} is left out: a server tells no likelihoods of whole answers"
    for name, own in summary["modes"].items():
        if own["abstained"]:
            yield f"{name}: neither letter came for {own['abstained']} pairs, which count as half right"
        if own.get("asked"):
            yield f"{name}: labels are of {own['asked']}, flips of both"


def gate_table(report: Mapping[str, Any]) -> Padding:
    """What the labeller was measured on as rows, beside what is needed."""
    gate = report["gate"]
    table = titled(str(report["labeller"]))
    table.add_column("measured on")
    for heading in (metric("accuracy").title, metric("flips").title, metric("ece").title, "Longer wins"):
        table.add_column(heading, justify="right")
    parts = {"known answers": gate["known"], "the very pairs": gate["sample"]}
    for name, own in parts.items():
        if own is None:
            table.add_row(Text(name), *["–"] * 4)
            continue
        table.add_row(
            Text(name),
            cell("accuracy", own["accuracy"]),
            cell("flips", own["flip_rate"]),
            cell("ece", own["ece"]) if own["ece"] else written("ece", own["ece_raw"]),
            written("accuracy", own["longer_wins"]),
        )
    needed = [written("accuracy", gate["required"]), written("flips", gate["flips_allowed"])]
    table.add_row(Text("needed", "dim"), f"≥ {needed[0]}", f"≤ {needed[1]}", "", "")
    return Padding(table, (1, 0, 0, 0), expand=False)


PRINCIPLE = ("agrees", "known", "flips", "turned", "stated", "revealed")
SIGNS = ("evasive", "boilerplate", "closer", "preaches", "refuses")


def audit_tables(audit: Mapping[str, Any]) -> list[Padding]:
    """Principles, signs before and after revising, and signs in answers: of those there are."""
    tables = []
    if "labels" in audit:
        own = audit["labels"]
        rows = {f"{name} ({one['asked']})": one for name, one in own["principles"].items()}
        tables.append(_named_table("Principles, and how often each was asked", "principle", PRINCIPLE, rows))
    monitors = audit.get("revisions", {}).get("monitors")
    if monitors:
        table = titled("Signs before and after revising")
        for heading in ("", "First answers", "Revisions", "Kept"):
            table.add_column(heading, justify="right" if heading else "left")
        for name, one in monitors.items():
            cells = [cell(f"constitution/{name}", one[key]) for key in ("responses", "revisions", "kept")]
            table.add_row(metric(f"constitution/{name}").title, *cells)
        tables.append(Padding(table, (1, 0, 0, 0), expand=False))
    if "answers" in audit:
        signs = (*SIGNS[:-1], "over_refusal")
        tables.append(_named_table("Signs in answers", "model", signs, audit["answers"]))
    return tables


def _named_table(
    title: str, first: str, columns: tuple[str, ...], rows: Mapping[str, Mapping[str, Any]]
) -> Padding:
    table = titled(title)
    table.add_column(first)
    for name in columns:
        table.add_column(metric(f"constitution/{name}").title, justify="right")
    for title_of, own in rows.items():
        cells = [_cell(f"constitution/{name}", own.get(name)) for name in columns]
        table.add_row(Text(visible(title_of)), *cells)
    return Padding(table, (1, 0, 0, 0), expand=False)


def _cell(name: str, value: Mapping[str, Any] | float | None) -> Text:
    return cell(name, value) if isinstance(value, Mapping) or value is None else Text(written(name, value))
