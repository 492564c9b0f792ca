"""Each snapshot of a constitutional road: the plane of helpful and harmless, and what a terminal shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.padding import Padding
from rich.text import Text

from gnomon.markup import visible
from gnomon.reports import figures
from gnomon.reports.tables import Summary, cell, metric, titled

METRICS = (
    *("harmless", "harmless_judged", "helpful", "helpful_judged", "over_refusal", "answered_safe"),
    *("bare", "evasive", "boilerplate", "preaches"),
)
"""The rows of the table, in order."""

LABELLERS = ("harmless", "helpful", "over_refusal", "bare")
"""What labellers are compared by."""

_COLOURS = {
    "base": figures.MUTED,
    "sft": figures.SFT,
    "constitutional": figures.CONSTITUTIONAL,
    "preference": figures.PREFERENCE,
    "policy": figures.POLICY,
}


def planes(summary: Summary) -> list[tuple[str, str, str]]:
    """Heading, figure and note of the plane by checks, and of that by a judge where one judged."""
    found = summary.get("snapshots", {})
    drawn = []
    ways = {
        "checks": ("By verifiable checks", ""),
        "judge": (f"By {(found.get('judge') or {}).get('name')}", "_judged"),
    }
    for key, (heading, ending) in ways.items():
        points = [
            figures.Point(
                found["titles"][name], _COLOURS[name], own[f"helpful{ending}"], own[f"harmless{ending}"]
            )
            for name in found.get("order", ())
            for own in (found["models"][name],)
            if f"helpful{ending}" in own and f"harmless{ending}" in own
        ]
        if len(points) > 1:
            svg = figures.plane(f"plane-{key}", points, ("helpful", "harmless"))
            drawn.append((heading, svg, "Up and to the right is better. Bars are 95 % intervals."))
    return drawn


def snapshots_table(summary: Summary) -> Padding:
    """Snapshots as columns, metrics as rows, each figure over its interval."""
    found = summary["snapshots"]
    table = titled("Each snapshot, on held-out prompts")
    table.add_column("")
    for name in found["order"]:
        table.add_column(Text(visible(found["titles"][name])), justify="right", overflow="fold")
    models = [found["models"][name] for name in found["order"]]
    for key in METRICS:
        cells = [cell(f"snapshot/{key}", own.get(key)) for own in models]
        table.add_row(metric(f"snapshot/{key}").title, *cells)
    return Padding(table, (1, 0), expand=False)


def labellers_table(rows: Sequence[Mapping[str, Any]]) -> Padding:
    """One row for each labeller: what the gate said of it, and what the last model is like."""
    table = titled("The same road with each labeller")
    for heading in ("labeller", "right on known", "labels", "last model"):
        table.add_column(heading, overflow="fold")
    for key in LABELLERS:
        table.add_column(metric(f"snapshot/{key}").title, justify="right")
    for row in rows:
        cells = [cell(f"snapshot/{key}", row["figures"].get(key)) for key in LABELLERS]
        table.add_row(
            Text(visible(row["labeller"])),
            cell("accuracy", row["accuracy"]),
            str(row["labels"]),
            Text(visible(row["model"])),
            *cells,
        )
    return Padding(table, (1, 0, 0, 0), expand=False)
