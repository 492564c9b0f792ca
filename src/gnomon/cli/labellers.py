"""`gnomon constitution labellers`: one road, walked with each of several labellers."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gnomon.cli.console import out, print_json
from gnomon.cli.machine import settle
from gnomon.cli.options import AsJson, Out, Overrides, labeller_ref, recipe_of
from gnomon.cli.progress import reporting
from gnomon.settings.feedback import SELF, TRAINED_JUDGE, TRUTH

DEFAULT = (SELF, f"{TRUTH}0.3", TRAINED_JUDGE, f"{TRUTH}0")
SCORE = (SELF, TRAINED_JUDGE)
"""Those of them that score single answers."""


def labellers(
    file: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, as YAML.")],
    overrides: Overrides = None,
    labeller: Annotated[
        list[str] | None,
        typer.Option(
            "--labeller",
            help="self, trained_judge, truth:P, a model or an endpoint; may be given several times.",
        ),
    ] = None,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Walk a road once with each labeller, and say how harmless it leaves the model."""
    recipe = recipe_of(file, overrides)
    usual = SCORE if recipe.pays_directly else DEFAULT
    names = [labeller_ref(name) for name in labeller or usual]
    place = folder or Path("runs") / f"{recipe.name}-labellers"
    settle()
    from gnomon.pipeline.labeller_sweep import sweep  # noqa: PLC0415  torch is slow to import
    from gnomon.reports.snapshots import labellers_table  # noqa: PLC0415

    with reporting() as reporter:
        rows = sweep(recipe, names, place, reporter)
    if as_json:
        print_json({"labellers": rows})
        return
    out.print(labellers_table(rows))
    out.print(Text(f"summaries and reports: {place / 'labellers'}"), soft_wrap=True)
