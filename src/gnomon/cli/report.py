"""`gnomon report`: the page of a run, made again."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gnomon.cli.console import out


def report(folder: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The folder of a run.")]) -> None:
    """Write a run's report.html again."""
    from gnomon.reports.render import render_report  # noqa: PLC0415  matplotlib is slow to import

    out.print(Text(str(render_report(folder))), soft_wrap=True)
