"""`gnomon constitution`: read and check one, and let models revise, label and be measured under it."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from gnomon.cli.console import out, print_json, warn
from gnomon.cli.labellers import labellers
from gnomon.cli.machine import settle
from gnomon.cli.options import (
    BUILTIN,
    AsJson,
    Limit,
    Model,
    Out,
    Overrides,
    RecipeFile,
    Rows,
    labeller_ref,
    recipe_of,
)
from gnomon.cli.progress import reporting
from gnomon.config import ConstitutionSettings, Recipe
from gnomon.constitution.principles import Constitution, load_constitution
from gnomon.errors import ConfigError
from gnomon.markup import visible
from gnomon.recipe import changed
from gnomon.reports.feedback import audit_tables, gate_table, modes_notes, modes_table

constitution_app = typer.Typer(help="Work with a written constitution.", no_args_is_help=True)
constitution_app.command()(labellers)

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


Pairs = Annotated[
    list[str] | None,
    typer.Option("--pairs", help="A file of pairs of answers, labelled or not; may be given several times."),
]
LabellerRef = Annotated[
    str | None,
    typer.Option(
        "--labeller",
        help="Who labels: a model, endpoint:URL#MODEL or truth:P; the model itself if not given.",
    ),
]


@constitution_app.command()
def compare(
    pairs: Pairs = None,
    *,
    overrides: Overrides = None,
    model: Model = None,
    labeller: LabellerRef = None,
    recipe: RecipeFile = None,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Let a model label pairs of answers under a constitution, if it is measured to be fit to.

    It is measured on data.comparisons, less the fifth that a road holds out, and on those of the pairs whose
    label is known. How it labels is constitution.feedback in a recipe.
    """
    if not pairs:
        raise ConfigError("name the pairs to label with --pairs FILE; gnomon collect makes some")
    report, place = _labelled(pairs, recipe_of(recipe, overrides, model=model), labeller, folder, "compare")
    if as_json:
        print_json(report)
        return
    _print_gate(report)
    out.print(
        Text(f"{report['ai_comparisons']} labelled comparisons: {place / 'comparisons.jsonl'}"),
        soft_wrap=True,
    )


@constitution_app.command()
def gate(
    overrides: Overrides = None,
    *,
    model: Model = None,
    labeller: LabellerRef = None,
    sample: Annotated[
        list[str] | None,
        typer.Option(
            "--sample", help="Labelled pairs of the kind to be labelled; may be given several times."
        ),
    ] = None,
    recipe: RecipeFile = None,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Measure a labeller, and say whether its labels may train; exit code 4 where they may not."""
    settings = recipe_of(recipe, overrides, model=model)
    report, _ = _labelled([], settings, labeller, folder, "gate", tuple(sample or ()))
    if as_json:
        print_json(report)
        return
    _print_gate(report)


@constitution_app.command()
def judge(  # noqa: PLR0913  each is an option
    on: Annotated[
        str, typer.Option("--on", help="A file of labelled comparisons, HHH's included, or builtin.")
    ] = BUILTIN,
    *,
    overrides: Overrides = None,
    modes: Annotated[str, typer.Option("--modes", help="Names with commas, recipe, or all.")] = "all",
    model: Model = None,
    labeller: Annotated[
        str | None,
        typer.Option(
            "--labeller", help="Who judges: a model or endpoint:URL#MODEL; the model itself if not given."
        ),
    ] = None,
    recipe: RecipeFile = None,
    limit: Limit = None,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Measure ways of judging by a constitution on comparisons whose better answer is known."""
    settings = _with_labeller(recipe_of(recipe, overrides, model=model), labeller)
    place = folder or Path("runs") / f"{settings.name}-judge"
    settle()
    from gnomon.constitution.modes import named  # noqa: PLC0415  torch is slow to import
    from gnomon.pipeline.judging_modes import judge_modes  # noqa: PLC0415

    names = named(modes)
    with reporting(len(names)) as reporter:
        summary = judge_modes(settings, names, on, limit, place, reporter)
    if as_json:
        print_json(summary)
        return
    out.print(modes_table(summary))
    for note in modes_notes(summary):
        out.print(Text(visible(note), "dim"), soft_wrap=True)
    out.print(Text(f"what was said: {place}"), soft_wrap=True)


@constitution_app.command()
def audit(
    place: Annotated[
        Path, typer.Argument(metavar="RUN|FILE", help="A run's folder, or a file of labels or critiques.")
    ],
    constitution: Annotated[
        str | None, typer.Option("--constitution", help="Whose weights to show; the run's if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what each principle did, what the labels reveal, and what revisions and answers are full of."""
    from gnomon.pipeline.audit import audit_of  # noqa: PLC0415  torch is slow to import

    report = audit_of(place, constitution)
    if as_json:
        print_json(report)
        return
    for table in audit_tables(report):
        out.print(table)
    for told in report["warnings"]:
        warn(told)


def _labelled(
    pairs: list[str],
    settings: Recipe,
    labeller: str | None,
    folder: Path | None,
    name: str,
    sample: tuple[str, ...] = (),
) -> tuple[dict[str, Any], Path]:
    """The report of labelling files of pairs, and the folder with the labels."""
    settings = _with_labeller(settings, labeller, sample)
    place = folder or Path("runs") / f"{settings.name}-{name}"
    settle()
    from gnomon.pipeline import alone  # noqa: PLC0415  torch is slow to import
    from gnomon.pipeline.feedback import given_pairs  # noqa: PLC0415

    given = given_pairs(map(Path, pairs))
    with reporting(2) as reporter:
        return alone.compare(settings, given, place, reporter), place


def _with_labeller(recipe: Recipe, labeller: str | None, sample: tuple[str, ...] = ()) -> Recipe:
    own = recipe.constitution or ConstitutionSettings()
    if labeller is not None:
        roles = changed(own.roles, labeller=labeller_ref(labeller))
        own = own.model_copy(update={"roles": roles})
    if sample:
        own = own.model_copy(update={"feedback": own.feedback.model_copy(update={"sample": sample})})
    return recipe.model_copy(update={"constitution": own})


def _print_gate(report: dict[str, Any]) -> None:
    out.print(gate_table(report))
    out.print(Text(visible(report["gate"]["message"]), "dim"), soft_wrap=True)


def _title(constitution: Constitution) -> Text:
    name = visible(f"{constitution.name}, version {constitution.version}")
    return Text(f"{name}: {len(constitution.principles)} principles, digest {constitution.digest}", "bold")
