"""`gnomon compare`: two models side by side on the same prompts."""

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.box import ROUNDED, SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from gnomon.cli.console import out, print_json
from gnomon.cli.machine import open_engine
from gnomon.cli.options import BUILTIN, AsJson, EngineArgument, Prompts, engine_ref
from gnomon.cli.progress import counting, reporting
from gnomon.data.reader import Reader
from gnomon.data.splits import named_clusters, opening, take
from gnomon.errors import ConfigError
from gnomon.evaluation.compare import SideBySide
from gnomon.evaluation.compare import compare as side_by_side
from gnomon.evaluation.prompts import checked
from gnomon.evaluation.runner import AnswerRow, answer_all
from gnomon.markup import visible
from gnomon.records import Prompt
from gnomon.reports import tables

COLOURS = ("dodger_blue1", "dark_orange")


def compare(
    model_a: EngineArgument,
    model_b: EngineArgument,
    prompts: Prompts = BUILTIN,
    limit: Annotated[int, typer.Option(min=1, help="Ask this many prompts, a seeded slice.")] = 20,
    raw_first: Annotated[
        bool, typer.Option("--raw-first", help="The first is a base model: no chat template.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show two models' answers side by side, then how the second differs from the first."""
    first, second = engine_ref(model_a), engine_ref(model_b)
    name = f"{first} (raw)" if raw_first else first
    if name == second:
        raise ConfigError(f"both models are {first}; name two, or ask the first one raw with --raw-first")
    suite = checked(Reader().read("evaluation", Prompt, (prompts,)))
    asked = take(suite, limit, 0, lambda prompt: prompt.family)
    ids, texts = [row.id for row in asked], [opening(row.conversation) for row in asked]
    clusters = dict(zip(ids, named_clusters(ids, texts), strict=True))
    rows = [
        *_answers(name, first, asked, clusters, raw=raw_first),
        *_answers(second, second, asked, clusters, raw=False),
    ]
    compared = side_by_side(rows, name, second)
    if as_json:
        print_json(compared.to_json())
        return
    for pair in compared.pairs:
        out.print(_pair(compared, *pair))
    out.print(_differences(compared))


def _answers(
    name: str, ref: str, prompts: list[Prompt], clusters: Mapping[str, str], *, raw: bool
) -> list[AnswerRow]:
    """The model's answers; it is not kept in memory while the other one answers."""
    engine = open_engine(ref)
    with reporting() as reporter, counting(reporter, name) as told:
        return answer_all(
            {name: engine},
            prompts,
            raw=(name,) if raw else (),
            clusters=clusters,
            progress=lambda _, done, total: told(done, total),
        )


def _pair(compared: SideBySide, first: AnswerRow, second: AnswerRow) -> Table:
    table = Table(
        box=ROUNDED,
        expand=True,
        title=Text(visible(first["prompt"]), "bold"),
        title_justify="left",
        show_lines=True,
    )
    for name, colour in zip((compared.first, compared.second), COLOURS, strict=True):
        table.add_column(Text(visible(name), colour), ratio=1, overflow="fold")
    table.add_row(*(Text(visible(row["answer"])) for row in (first, second)))
    table.add_row(*(Text(_facts(row), "dim") for row in (first, second)))
    return table


def _facts(row: AnswerRow) -> str:
    """What was measured of one answer, in words."""
    checks = [f"passes {sum(row['checks'])} of {len(row['checks'])} checks"] if row["checks"] else []
    facts = {
        "does not end its turn": not row["ended"],
        "does not answer": not row["answers"],
        "speaks for the user": row["role_leak"],
        "refuses": row["refuses"],
    }
    return ", ".join([*checks, *(fact for fact, holds in facts.items() if holds), f"{row['tokens']} tokens"])


def _differences(compared: SideBySide) -> Table:
    table = Table(title="Second minus first, paired by prompt, with 95% intervals", box=SIMPLE_HEAD)
    table.title_justify, table.title_style = "left", "bold"
    table.add_column("")
    for name, colour in zip((compared.first, compared.second), COLOURS, strict=True):
        table.add_column(Text(visible(name), colour), justify="right", overflow="fold")
    table.add_column("difference", justify="right")
    for gap in compared.differences:
        metric = gap["metric"]
        values = (compared.models[name][metric]["value"] for name in (compared.first, compared.second))
        told = Text(tables.difference(metric, gap))
        told.append(f"\n{tables.difference_interval(metric, gap)}", "dim")
        known = tables.metric(metric)
        title = f"{known.title} ({known.unit})" if known.unit else known.title
        table.add_row(title, *(tables.written(metric, value) for value in values), told)
    return table
