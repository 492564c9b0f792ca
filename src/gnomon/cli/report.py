"""`gnomon report`: the page of a run, made again."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gnomon.cli.console import out
from gnomon.runs import held


def report(folder: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The folder of a run.")]) -> None:
    """Write a run's report.html again."""
    from gnomon.reports.render import render_report  # noqa: PLC0415  matplotlib is slow to import

    with held(folder):
        page = render_report(folder)
    out.print(Text(str(page)), soft_wrap=True)
