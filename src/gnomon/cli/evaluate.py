"""`gnomon eval`: models on held-out prompts, or examined by suites."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from gnomon.cli.console import out, print_json
from gnomon.cli.machine import open_engine, settle
from gnomon.cli.options import BUILTIN, AsJson, Limit, Out, Prompts, engine_ref, model_ref
from gnomon.cli.progress import reporting
from gnomon.config import DataSettings, EvaluationSettings, Recipe
from gnomon.data.reader import Reader
from gnomon.errors import ConfigError
from gnomon.records import Prompt
from gnomon.reports.tables import suite_tables, summary_table

DEFAULTS = EvaluationSettings()

_NAMED = re.compile(r"([\w.-]+)=(.+)")


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(metavar="[NAME=]MODEL", help="Models; one named base answers without a template."),
    ],
    suite: Annotated[
        list[str] | None,
        typer.Option("--suite", help="NAME, NAME=FILE or all; may be given several times."),
    ] = None,
    prompts: Prompts = BUILTIN,
    limit: Limit = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-new-tokens",
            min=1,
            help=f"The longest answer; if not given, {DEFAULTS.suite_tokens} with --suite, "
            f"{DEFAULTS.max_new_tokens} without.",
        ),
    ] = None,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Answer held-out prompts with each model and measure the answers; with --suite, examine the models."""
    if suite and prompts != BUILTIN:
        raise ConfigError("--suite answering=FILE asks prompts of a file; leave --prompts out")
    named = by_name(models, engine_ref if suite else model_ref)
    place = folder or Path("runs") / ("suites" if suite else "eval")
    _refuse_the_other_kind(place, by_suites=bool(suite))
    settle()
    summary = (
        _examined(named, suite, limit, max_new_tokens or DEFAULTS.suite_tokens, place)
        if suite
        else _answered(
            named,
            DataSettings(evaluation=(prompts,), limit=limit),
            EvaluationSettings(max_new_tokens=max_new_tokens or DEFAULTS.max_new_tokens),
            place,
        )
    )
    if as_json:
        print_json(summary)
        return
    for table in suite_tables(summary) if suite else [summary_table(summary)]:
        out.print(table)
    out.print(Text(f"answers: {place}"), soft_wrap=True)


def _refuse_the_other_kind(place: Path, *, by_suites: bool) -> None:
    """ConfigError where the folder has what the other kind of evaluation found, which would be lost."""
    theirs, whose = (
        ("answers.jsonl", "answers to prompts") if by_suites else ("rows.jsonl", "what suites found")
    )
    if (place / theirs).exists():
        raise ConfigError(
            f"{place} holds {whose}, whose summary would be lost; name another folder with --out"
        )


def _answered(
    named: Mapping[str, str], data: DataSettings, evaluation: EvaluationSettings, place: Path
) -> dict[str, Any]:
    from gnomon.pipeline import alone  # noqa: PLC0415  torch is slow to import

    # the stage would name data.on_bad_row, which no option of this command sets
    Reader().read("evaluation", Prompt, data.evaluation)
    with reporting(1 + len(named)) as reporter:
        return alone.evaluate(named, Recipe(name="eval", data=data, evaluation=evaluation), place, reporter)


def _examined(
    named: Mapping[str, str], asked: Sequence[str], limit: int | None, max_new_tokens: int, place: Path
) -> dict[str, Any]:
    from gnomon.evaluation.examine import sliced  # noqa: PLC0415  torch is slow to import
    from gnomon.evaluation.suites.catalogue import suites_of  # noqa: PLC0415
    from gnomon.pipeline.examination import examination  # noqa: PLC0415
    from gnomon.rollouts.engine import Sampling  # noqa: PLC0415

    suites = [sliced(suite, limit, seed=0) for suite in suites_of(asked)]
    sampling = Sampling(max_new_tokens, temperature=0.0)
    with reporting(len(suites) * len(named)) as reporter:
        return examination(named, suites, place, reporter, sampling=sampling, opened=open_engine)


def by_name(models: Sequence[str], ref_of: Any = model_ref) -> dict[str, str]:
    """Each model's reference by its name, which is the reference in plain characters where none is given."""
    named: dict[str, str] = {}
    for text in models:
        found = _NAMED.fullmatch(text)
        ref = ref_of(found.group(2) if found else text)
        name = found.group(1) if found else re.sub(r"[^\w.]+", "-", ref).strip("-")
        if name in named:
            raise ConfigError(f"two models are called {name!r}; write NAME=MODEL to tell them apart")
        named[name] = ref
    return named
