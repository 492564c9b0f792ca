"""`gnomon run`: the whole road from one recipe."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from gnomon.cli.console import out, print_json
from gnomon.cli.machine import settle
from gnomon.cli.options import AsJson, Out, Overrides, recipe_of
from gnomon.cli.progress import reporting
from gnomon.config import Until
from gnomon.reports.tables import MODELS, bread_panel, suite_tables, summary_table
from gnomon.runs import RunFolder


def run(
    file: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, as YAML.")],
    overrides: Overrides = None,
    folder: Out = None,
    until: Annotated[Until | None, typer.Option(help="The last stage to make.")] = None,
    as_json: AsJson = False,
) -> None:
    """Walk the whole road: tune, learn preferences, optimise, revise, evaluate, report.

    What is already made is not made again: an interrupted run goes on with the same command.
    """
    recipe = recipe_of(file, overrides)
    place = folder or Path("runs") / recipe.name
    settle()
    from gnomon.pipeline import road  # noqa: PLC0415  torch is slow to import

    with reporting() as reporter:
        summary = road.run(recipe, place, reporter, until=until)
    if as_json:
        print_json(summary)
    else:
        show(summary, place)


def show(summary: Mapping[str, Any], folder: Path) -> None:
    """The bread question, the figures, and where everything is."""
    if summary.get("bread"):
        out.print(bread_panel(summary))
    if summary.get("models"):
        out.print(summary_table(summary))
    for table in suite_tables(summary) if summary.get("suites") else ():
        out.print(table)
    if summary.get("snapshots"):
        from gnomon.reports.snapshots import snapshots_table  # noqa: PLC0415  matplotlib is slow to import

        out.print(snapshots_table(summary))
    for key, about in summary.get("manifest", {}).items():
        if about["stage"] in MODELS:
            model, named = folder / "artefacts" / key / "model", RunFolder(folder).models / about["stage"]
            shown = named if named.is_dir() and named.samefile(model) else model
            out.print(Text(f"{about['stage']}: gnomon chat {shown}"), soft_wrap=True)
    out.print(Text(f"report: {folder / 'report.html'}"), soft_wrap=True)
