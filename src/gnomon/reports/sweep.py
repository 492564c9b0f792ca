"""What a terminal shows of several recipes that were walked with several seeds."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from rich.padding import Padding
from rich.text import Text

from gnomon.markup import visible
from gnomon.reports.tables import cell, difference, difference_interval, metric, title, titled

TOLD = ("reward/second", "checks", "over_refusal", "length/tokens")
"""What recipes are compared by."""


def sweep_table(rows: Sequence[Mapping[str, Any]]) -> Padding:
    """One row for each recipe: what a seed takes, how far its last model is from its reference, and how it
    differs from the instruction-tuned one, over all seeds."""
    over = "base" if rows[0]["last"] == "sft" else "sft"
    seeds = max(len(row["costs"]) for row in rows)
    spread = (
        f"{seeds} seeds, intervals over seeds and prompts" if seeds > 1 else "one seed, over prompts alone"
    )
    table = titled(f"Over {title(over).lower()}, with 95% intervals: {spread}")
    table.add_column("recipe", overflow="fold")
    for heading in ("a seed takes", metric("kl/reference").title, *(metric(key).title for key in TOLD)):
        table.add_column(heading.replace("-", "-\n"), justify="right", overflow="fold")
    for row in rows:
        found = {
            own["metric"]: own
            for own in row["differences"]
            if (own["of"], own["over"]) == (row["last"], over)
        }
        costs = row["costs"]
        table.add_row(
            Text(visible(row["recipe"])),
            Text(f"{fmean(own['seconds'] for own in costs) / 60:.1f} min").append(
                f"\n{max(own['peak_memory_gib'] for own in costs):.1f} GiB", "dim"
            ),
            cell("kl/reference", row["models"][row["last"]].get("kl/reference")),
            *(_gap(key, found.get(key)) for key in TOLD),
        )
    return Padding(table, (1, 0, 0, 0), expand=False)


def _gap(name: str, estimate: Mapping[str, Any] | None) -> Text:
    """A difference over its interval, or a dash where there is none."""
    if estimate is None:
        return Text("–", "dim")
    return Text(difference(name, estimate)).append(f"\n{difference_interval(name, estimate)}", "dim")
