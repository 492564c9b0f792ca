"""`gnomon train`: one stage alone, on any model and any rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.text import Text

from gnomon.cli.console import out, print_json
from gnomon.cli.machine import settle
from gnomon.cli.options import AsJson, Model, Out, Overrides, RecipeFile, Rows, recipe_of
from gnomon.cli.progress import reporting
from gnomon.config import Recipe
from gnomon.runs import read_json

train_app = typer.Typer(help="Train one stage alone.", no_args_is_help=True)


@train_app.command()
def sft(
    overrides: Overrides = None,
    model: Model = None,
    data: Rows = None,
    recipe: RecipeFile = None,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Tune a model on demonstrations of how an assistant answers."""
    _train(
        "sft",
        recipe_of(recipe, overrides, model=model, data=_rows("demonstrations", data)),
        folder,
        as_json=as_json,
    )


@train_app.command()
def reward(
    overrides: Overrides = None,
    model: Model = None,
    data: Rows = None,
    recipe: RecipeFile = None,
    average: Annotated[
        list[Path] | None,
        typer.Option("--average", help="Train nothing: the mean of these reward models' weights."),
    ] = None,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Learn a reward model from comparisons of answers, or average some that were learnt."""
    _train(
        "reward",
        recipe_of(recipe, overrides, model=model, data=_rows("comparisons", data)),
        folder,
        average=average or (),
        as_json=as_json,
    )


@train_app.command()
def preference(
    overrides: Overrides = None,
    model: Model = None,
    data: Rows = None,
    ratings: Annotated[
        list[str] | None,
        typer.Option(
            "--ratings",
            help="A file of answers each judged good or bad, for preference.loss=kto; several times. "
            "Without --data they are all that is learnt from.",
        ),
    ] = None,
    recipe: RecipeFile = None,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Optimise a model on comparisons directly (DPO, IPO, KTO, ORPO, SimPO and others: preference.loss)."""
    rows = _rows("comparisons", data) | _rows("ratings", ratings)
    alone = {"comparisons": ()} if ratings and not data else {}
    settings = recipe_of(recipe, overrides, model=model, data=rows | alone)
    _train("preference", settings, folder, as_json=as_json)


@train_app.command()
def policy(
    reward: Annotated[
        Path | None, typer.Option(help="The folder of a reward model that gnomon train made.")
    ] = None,
    overrides: Overrides = None,
    model: Model = None,
    data: Rows = None,
    recipe: RecipeFile = None,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Optimise a model's answers to prompts against a reward model, staying near where it began."""
    settings = recipe_of(recipe, overrides, model=model, data=_rows("prompts", data))
    _train("policy", settings, folder, reward, as_json=as_json)


def _rows(role: str, files: list[str] | None) -> dict[str, Any]:
    return {role: tuple(files)} if files else {}


def _train(
    kind: Literal["sft", "reward", "preference", "policy"],
    recipe: Recipe,
    folder: Path | None,
    reward: Path | None = None,
    *,
    average: Sequence[Path] = (),
    as_json: bool,
) -> None:
    place = folder or Path("runs") / f"{recipe.name}-{kind}"
    settle()
    from gnomon.pipeline import alone  # noqa: PLC0415  torch is slow to import

    with reporting(2) as reporter:
        made = alone.train(kind, recipe, place, reporter, reward=reward, average=average)
    if as_json:
        print_json({"model": str(made), **read_json(place / "report.json")})
    else:
        out.print(Text(f"{kind} model: {made}"), soft_wrap=True)
