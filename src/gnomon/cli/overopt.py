"""`gnomon overopt`: how gold rises and falls as a proxy of it is climbed, in a laboratory."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gnomon.cli.console import out, print_json
from gnomon.cli.machine import settle
from gnomon.cli.options import AsJson, Out, Overrides, model_ref
from gnomon.cli.progress import reporting
from gnomon.recipe import load_settings


def overopt(
    overrides: Overrides = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings of a study, as YAML; the tiny one if not given.")
    ] = None,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Plant a gold reward, learn proxies of it, climb them, and say where gold turned and who foresaw it.

    What is already made is not made again: an interrupted study goes on with the same command.
    """
    settle()
    from gnomon.overopt.settings import LaboratorySettings  # noqa: PLC0415  torch is slow to import
    from gnomon.pipeline.overopt_run import overopt as study  # noqa: PLC0415
    from gnomon.reports.overopt import overopt_tables, sentences  # noqa: PLC0415

    settings = load_settings(LaboratorySettings, config, overrides or ())
    model = settings.model.model_copy(update={"ref": model_ref(settings.model.ref)})
    settings = settings.model_copy(update={"model": model})
    place = folder or Path("runs") / settings.name
    each = 2 + 3 * len(settings.proxies) + 2 * bool(settings.guarded)
    stages = bool(settings.start) + len(settings.seeds) * each
    with reporting(stages) as reporter:
        summary = study(settings, place, reporter)
    if as_json:
        print_json(summary)
        return
    for table in overopt_tables(summary):
        out.print(table)
    for sentence in sentences(summary["verdict"]):
        out.print(Text(sentence), soft_wrap=True)
    out.print(Text(f"report: {place / 'report.html'}"), soft_wrap=True)
