"""`gnomon eval-reward`: reward models on labelled comparisons."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gnomon.cli.console import out, print_json
from gnomon.cli.evaluate import by_name
from gnomon.cli.machine import settle
from gnomon.cli.options import AsJson, Out
from gnomon.cli.progress import reporting
from gnomon.markup import visible
from gnomon.reports.rewards import reward_notes, reward_tables


def eval_reward(
    models: Annotated[list[str], typer.Argument(metavar="[NAME=]MODEL", help="Folders of reward models.")],
    comparisons: Annotated[
        str,
        typer.Option(
            "--comparisons", help="A file of labelled pairs, or builtin:test: those held out of ours."
        ),
    ] = "builtin:test",
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Say how good reward models are: accuracy, calibration, and what length alone would say."""
    named = by_name(models)
    place = folder or Path("runs") / "eval-reward"
    settle()
    from gnomon.pipeline.reward_examination import examine_rewards  # noqa: PLC0415  torch is slow to import

    with reporting(len(named)) as reporter:
        summary = examine_rewards(named, comparisons, place, reporter)
    if as_json:
        print_json(summary)
        return
    for table in reward_tables(summary):
        out.print(table)
    for note in reward_notes(summary):
        out.print(Text(visible(note), "dim"), soft_wrap=True)
    out.print(Text(f"scores: {place}"), soft_wrap=True)
