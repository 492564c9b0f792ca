"""`gnomon win-rate`: how often one model's answers win against another's, by people, models or checks."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gnomon.cli.console import out, print_json
from gnomon.cli.evaluate import by_name
from gnomon.cli.machine import open_engine, refuse_reward_model, settle
from gnomon.cli.options import BUILTIN, AsJson, Limit, Out, Prompts, engine_ref, judge_ref
from gnomon.cli.progress import reporting
from gnomon.judges.reference import CHECKS
from gnomon.markup import visible
from gnomon.reports.win_rates import win_rate_notes, win_rate_tables

LONGEST_ANSWER = 256
"""Tokens, as in `gnomon eval`, whose answers are used where the folder has them."""


def win_rate(
    models: Annotated[
        tuple[str, str],
        typer.Argument(
            metavar="[NAME=]A [NAME=]B", help="Models; one named base answers without a template."
        ),
    ],
    judge: Annotated[
        list[str] | None,
        typer.Option(
            "--judge",
            metavar="[NAME=]JUDGE",
            help="checks, votes:FILE, a reward model's folder, a model, or endpoint:URL#MODEL; may be given "
            "several times.",
        ),
    ] = None,
    prompts: Prompts = BUILTIN,
    calibrate: Annotated[
        Path | None, typer.Option("--calibrate", help="A file of labelled pairs to measure the judges on.")
    ] = None,
    limit: Limit = None,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Say how often the first model's answers win against the second's, by each judge."""
    named, judges = by_name(models, engine_ref), by_name(judge or [CHECKS], judge_ref)
    place = folder or Path("runs") / "win-rate"
    settle()
    from gnomon.evaluation.suites.answering import answering  # noqa: PLC0415  torch is slow to import
    from gnomon.pipeline import win_rate as contests  # noqa: PLC0415
    from gnomon.rollouts.engine import Sampling  # noqa: PLC0415

    for ref in named.values():
        refuse_reward_model(ref)
    suite = answering(None if prompts == BUILTIN else Path(prompts))
    sampling = Sampling(LONGEST_ANSWER, temperature=0.0)
    contest = contests.Contest(named, judges, suite, sampling, limit, calibrate)
    with reporting(len(named) + len(judges)) as reporter:
        summary = contests.win_rate(contest, contests.Place(place, reporter, open_engine))
    if as_json:
        print_json(summary)
        return
    for table in win_rate_tables(summary):
        out.print(table)
    for note in win_rate_notes(summary):
        out.print(Text(visible(note), "dim"), soft_wrap=True)
    out.print(Text(f"verdicts: {place}"), soft_wrap=True)
