"""`gnomon eval`: models on held-out prompts."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gnomon.cli.console import out, print_json
from gnomon.cli.machine import settle
from gnomon.cli.options import BUILTIN, AsJson, Limit, Out, Prompts, model_ref
from gnomon.cli.progress import reporting
from gnomon.config import DataSettings, Recipe
from gnomon.errors import ConfigError
from gnomon.reports.tables import summary_table

_NAMED = re.compile(r"([\w.-]+)=(.+)")


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(metavar="[NAME=]MODEL", help="Models; one named base answers without a template."),
    ],
    prompts: Prompts = BUILTIN,
    limit: Limit = None,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Answer held-out prompts with each model and measure the answers."""
    named = by_name(models)
    recipe = Recipe(name="eval", data=DataSettings(evaluation=(prompts,), limit=limit))
    place = folder or Path("runs") / recipe.name
    settle()
    from gnomon.pipeline import alone  # noqa: PLC0415  torch is slow to import

    with reporting(1 + len(named)) as reporter:
        summary = alone.evaluate(named, recipe, place, reporter)
    if as_json:
        print_json(summary)
        return
    out.print(summary_table(summary))
    out.print(Text(f"answers: {place}"), soft_wrap=True)


def by_name(models: Sequence[str]) -> dict[str, str]:
    """Each model's reference by its name, which is the reference in plain characters where none is given."""
    named: dict[str, str] = {}
    for text in models:
        found = _NAMED.fullmatch(text)
        ref = model_ref(found.group(2) if found else text)
        name = found.group(1) if found else re.sub(r"[^\w.]+", "-", ref).strip("-")
        if name in named:
            raise ConfigError(f"two models are called {name!r}; write NAME=MODEL to tell them apart")
        named[name] = ref
    return named
