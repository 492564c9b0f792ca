"""`gnomon sweep`: several recipes, each with several seeds, beside one another."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gnomon.cli.console import out, print_json
from gnomon.cli.machine import settle
from gnomon.cli.options import AsJson, Out, recipe_of
from gnomon.cli.progress import reporting
from gnomon.errors import ConfigError


def sweep(
    given: Annotated[
        list[str],
        typer.Argument(metavar="RECIPE... [key=value]...", help="Recipes, and settings for all of them."),
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each recipe.")] = 3,
    whole: Annotated[
        bool, typer.Option("--whole", help="Walk the whole road anew with each seed, tuning and all.")
    ] = False,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Walk several recipes with several seeds, and say which is better by more than chance.

    What they have in common is made once; what is optimised is made anew with each seed.
    """
    files = [Path(text) for text in given if "=" not in text]
    if not files:
        raise ConfigError("no recipe is named; name one or more, for example recipes/demo.yaml")
    overrides = [text for text in given if "=" in text]
    recipes = [recipe_of(file, overrides) for file in files]
    place = folder or Path("runs") / "sweep"
    settle()
    from gnomon.pipeline.sweep import FOLDER, TABLE  # noqa: PLC0415  torch is slow to import
    from gnomon.pipeline.sweep import sweep as walk  # noqa: PLC0415
    from gnomon.reports.sweep import sweep_table  # noqa: PLC0415

    with reporting() as reporter:
        rows = walk(recipes, seeds, place, reporter, whole=whole)
    if as_json:
        print_json({"sweep": rows})
    elif rows:
        out.print(sweep_table(rows))
        out.print(
            Text(f"all figures: {place / TABLE}; summaries and reports: {place / FOLDER}"), soft_wrap=True
        )
