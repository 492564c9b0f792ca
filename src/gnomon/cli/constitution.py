"""`gnomon constitution`: read a constitution, check one, let a model revise its answers under one."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from gnomon.cli.console import out, print_json, warn
from gnomon.cli.machine import settle
from gnomon.cli.options import BUILTIN, AsJson, Model, Out, Overrides, RecipeFile, Rows, recipe_of
from gnomon.cli.progress import reporting
from gnomon.constitution.principles import Constitution, load_constitution
from gnomon.markup import visible

constitution_app = typer.Typer(help="Work with a written constitution.", no_args_is_help=True)

File = Annotated[str, typer.Argument(metavar="FILE", help="A YAML or published JSON file, or builtin.")]


@constitution_app.command()
def show(file: File = BUILTIN, as_json: AsJson = False) -> None:
    """Print the principles."""
    constitution = load_constitution(file)
    if as_json:
        print_json(constitution.model_dump(mode="json") | {"digest": constitution.digest})
        return
    out.print(_title(constitution), soft_wrap=True)
    table = Table("principle", "what a good answer does", "drawn", "for", box=None, padding=(0, 2, 1, 0))
    for principle in constitution.principles:
        uses = [use for use in ("revision", "comparison") if principle.serves(use)]
        cells = (principle.id, principle.text, f"{principle.weight:g}", ", ".join(uses))
        table.add_row(*(Text(visible(cell)) for cell in cells))
    out.print(table)


@constitution_app.command()
def lint(file: Annotated[str, typer.Argument(help="The file to check, or builtin.")]) -> None:
    """Check a file: its shape, its ids, and whether each principle can be used for anything."""
    constitution = load_constitution(file)
    revising = [p for p in constitution.principles if p.serves("revision")]
    comparing = [p for p in constitution.principles if p.serves("comparison")]
    for principle in constitution.principles:
        if principle not in revising and principle not in comparing:
            warn(
                f"principle {principle.id!r} has no requests and is never drawn; write 'comparison', or both "
                "'critique' and 'revision'"
            )
    out.print(_title(constitution), soft_wrap=True)
    out.print(f"{len(revising)} serve critique and revision, {len(comparing)} serve comparison")


@constitution_app.command()
def revise(
    overrides: Overrides = None,
    model: Model = None,
    data: Rows = None,
    recipe: RecipeFile = None,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Let a model answer red-team prompts, criticise its answers and revise them.

    Another constitution is data.constitution=FILE.
    """
    rows = {"red_team": tuple(data)} if data else {}
    settings = recipe_of(recipe, overrides, model=model, data=rows)
    place = folder or Path("runs") / f"{settings.name}-revise"
    settle()
    from gnomon.pipeline import alone  # noqa: PLC0415  torch is slow to import

    with reporting(2) as reporter:
        made = alone.revise(settings, place, reporter)
    if as_json:
        print_json({"critiques": str(place / "critiques.jsonl"), "revisions": str(made)})
    else:
        out.print(Text(f"critiques and revisions: {made}"), soft_wrap=True)


def _title(constitution: Constitution) -> Text:
    name = visible(f"{constitution.name}, version {constitution.version}")
    return Text(f"{name}: {len(constitution.principles)} principles, digest {constitution.digest}", "bold")
