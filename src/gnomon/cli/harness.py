"""`gnomon harness`: lm-evaluation-harness and inspect_ai on Gnomon's models, and our suites in their form."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from gnomon.cli.console import out, print_json, say
from gnomon.cli.machine import open_model, refuse_reward_model, settle
from gnomon.cli.options import AsJson, ModelArgument, Out, model_ref, new_folder
from gnomon.cli.progress import counting, reporting
from gnomon.errors import ConfigError
from gnomon.markup import visible

harness_app = typer.Typer(
    help="Other people's harnesses on Gnomon's models, and our suites in their form.", no_args_is_help=True
)

First = Annotated[int | None, typer.Option("--limit", min=1, help="Ask the first so many rows of a task.")]


@harness_app.command("lm-eval")
def lm_eval(
    model: ModelArgument,
    tasks: Annotated[str, typer.Option("--tasks", help="Tasks, groups or patterns, commas between them.")],
    task_dir: Annotated[
        Path | None, typer.Option("--task-dir", help="A folder with more tasks, as YAML.")
    ] = None,
    limit: First = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Ask under the chat template, not as plain text.")
    ] = False,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Ask a model tasks of lm-evaluation-harness."""
    ref, place = model_ref(model), folder or Path("runs") / "lm-eval"
    with _extra("lm-eval"):
        from gnomon.evaluation.adapters.lm_eval_run import Wanted, run  # noqa: PLC0415  an extra
    wanted = Wanted(tuple(name for name in tasks.split(",") if name), task_dir, limit, chat)
    engine = open_model(ref)
    with reporting() as reporter, counting(reporter, "requests") as told, redirect_stdout(sys.stderr):
        found = run(ref, engine, wanted, place, told)
    if as_json:
        print_json({"results": found, "folder": str(place)})
        return
    out.print(_table((name, *row) for name, own in found.items() for row in lm_eval_rows(own)))
    out.print(Text(f"results and samples: {place}"), soft_wrap=True)


@harness_app.command()
def inspect(
    model: ModelArgument,
    task: Annotated[str, typer.Option("--task", help="FILE.py with tasks of inspect_ai, or FILE.py@NAME.")],
    limit: First = None,
    max_new_tokens: Annotated[
        int | None, typer.Option("--max-new-tokens", min=1, help="The longest answer, if the task says none.")
    ] = None,
    folder: Out = None,
    as_json: AsJson = False,
) -> None:
    """Ask a model a task of inspect_ai."""
    ref, place = model_ref(model), folder or Path("runs") / "inspect"
    refuse_reward_model(ref)
    settle()
    with _extra("inspect"):
        from gnomon.evaluation.adapters.inspect_run import run  # noqa: PLC0415  an extra
    say(f"asking {ref}")
    with redirect_stdout(sys.stderr):
        found = run(ref, task, place, limit=limit, max_new_tokens=max_new_tokens)
    if as_json:
        print_json({"results": found, "folder": str(place)})
        return
    rows = (
        (name, f"{scorer}/{metric}", value, None)
        for name, own in found.items()
        for scorer, metrics in own["scores"].items()
        for metric, value in metrics.items()
    )
    out.print(_table(rows))
    out.print(Text(f"logs, for inspect view: {place}"), soft_wrap=True)


@harness_app.command()
def export(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder to write.")]) -> None:
    """Write our suites as tasks of both harnesses, with the rows beside them: nothing is fetched."""
    new_folder(folder)
    from gnomon.evaluation.adapters.export import export as write  # noqa: PLC0415  torch is slow to import

    for path in write(folder):
        out.print(Text(str(path)), soft_wrap=True)


def lm_eval_rows(results: Mapping[str, Any]) -> Iterator[tuple[str, float, float | None]]:
    """The metrics of one task as lm-evaluation-harness names them (METRIC,FILTER), with standard errors."""
    for key, value in results.items():
        name, _, chosen = key.partition(",")
        if chosen and not name.endswith("_stderr"):
            off = results.get(f"{name}_stderr,{chosen}")
            yield name if chosen == "none" else key, value, off if isinstance(off, float) else None


def _table(rows: Iterator[tuple[str, str, Any, float | None]]) -> Table:
    table = Table("task", "metric", box=SIMPLE_HEAD)
    table.add_column("value", justify="right")
    table.add_column("standard error", justify="right")
    for name, metric, value, off in rows:
        told = f"{value:.4f}" if isinstance(value, float) else str(value)
        table.add_row(Text(visible(name)), Text(visible(metric)), told, "" if off is None else f"{off:.4f}")
    return table


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """What is imported inside belongs to an extra; ConfigError says how to install it."""
    try:
        yield
    except ImportError as problem:
        raise ConfigError(
            f"gnomon harness {name} needs a package that is missing ({problem}): pip install 'gnomon[{name}]'"
        ) from problem
