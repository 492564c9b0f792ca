"""`gnomon plan`: what a run will cost, before it costs anything."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from gnomon.cli.console import err, out, print_json
from gnomon.cli.machine import settle
from gnomon.cli.options import AsJson, Overrides, recipe_of
from gnomon.reports.view import duration

if TYPE_CHECKING:
    from gnomon.pipeline.plan import Cost, Plan


def plan(
    file: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, as YAML.")],
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Say what a recipe will take on this machine: time, tokens, memory and disk, stage by stage."""
    recipe = recipe_of(file, overrides)
    with err.status("counting rows and timing the model"):
        settle()
        from gnomon.pipeline import plan as planning  # noqa: PLC0415  torch is slow to import

        made = planning.plan(recipe)
    if as_json:
        print_json(made.to_json())
    else:
        out.print(_table(made))


def _table(plan: "Plan") -> Table:
    table = Table(box=SIMPLE_HEAD, show_footer=True)
    table.add_column("stage", footer="the whole road")
    for title, total in zip(("time", "tokens", "memory", "disk"), _figures(plan), strict=True):
        table.add_column(title, footer=total, justify="right")
    for cost in plan.stages:
        table.add_row(Text(cost.stage), *_figures(cost))
    return table


def _figures(cost: "Cost | Plan") -> tuple[str, str, str, str]:
    memory, disk = (f"{gib:.1f} GiB" for gib in (cost.memory_gib, cost.disk_gib))
    return duration(cost.seconds), f"{cost.tokens:,}", memory, disk
