"""The gnomon command: every command in one place, and what each kind of failure tells a person."""

import json
import signal
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

import gnomon
from gnomon.cli import (
    chat,
    collect,
    compare,
    doctor,
    eval_reward,
    evaluate,
    export,
    overopt,
    plan,
    report,
    run,
    sweep,
    win_rate,
)
from gnomon.cli.console import FIRST, say, settle_chatter
from gnomon.cli.constitution import constitution_app
from gnomon.cli.data import data_app
from gnomon.cli.harness import harness_app
from gnomon.cli.label import label_app
from gnomon.cli.label_quality import simulate, stats
from gnomon.cli.label_webhooks import webhook_app
from gnomon.cli.train import train_app
from gnomon.errors import INTERRUPTED, GnomonError, StorageError
from gnomon.runs import FULL, full_disk

EXIT_CODES = """Exit codes:

0  done

1  something unforeseen (with a traceback), or the doctor found a problem

2  a setting, recipe, model reference or option is wrong, or an extra is not installed

3  a file or a row cannot be used

4  a model, tokenizer, template or checkpoint cannot be used

5  training diverged; the batch was saved

6  a file could not be written or is damaged, or the disk is full

130  interrupted; the same command goes on where it stopped"""

app = typer.Typer(
    help="Alignment of language models, the whole road: from a pretrained model to an assistant, and what "
    "it cost.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(run.run)
app.command()(plan.plan)
app.command()(sweep.sweep)
app.add_typer(train_app, name="train")
app.add_typer(constitution_app, name="constitution")
app.command("eval")(evaluate.evaluate)
app.command("eval-reward")(eval_reward.eval_reward)
app.add_typer(harness_app, name="harness")
app.command()(compare.compare)
app.command("win-rate")(win_rate.win_rate)
app.command()(overopt.overopt)
app.command()(chat.chat)
app.command()(collect.collect)
label_app.command()(stats)
label_app.command()(simulate)
label_app.add_typer(webhook_app, name="webhook")
app.add_typer(label_app, name="label")
app.command()(report.report)
app.command()(export.export)
app.add_typer(data_app, name="data")
app.command()(doctor.doctor)


def _show_version(wanted: bool) -> None:  # noqa: FBT001  typer hands over the option's value
    if wanted:
        typer.echo(f"gnomon {gnomon.__version__}")
        raise typer.Exit


@app.callback()
def _gnomon(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line and leave with its exit code."""
    settle_chatter()
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(call(sys.argv[1:]))


def call(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; what went wrong is told on standard error."""
    tell = partial(_told, as_json="--json" in arguments)
    try:
        code = _invoke(arguments)
    except (GnomonError, TyperException) as problem:
        return tell(problem)
    except OSError as problem:
        if problem.errno not in FULL:
            return tell(problem, unforeseen=True)
        return tell(StorageError(full_disk(Path(problem.filename or Path.cwd()))))
    except Exception as problem:
        return tell(problem, unforeseen=True)
    if code == INTERRUPTED and FIRST:
        say("interrupted; run the same command again to go on")
    return code


def _invoke(arguments: Sequence[str]) -> int:
    try:
        # typer turns Ctrl-C into its exit code; commands themselves return nothing
        code = app(list(arguments), prog_name="gnomon", standalone_mode=False)
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return code if isinstance(code, int) else 0


def _terminated(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(INTERRUPTED)


def _told(problem: Exception, *, as_json: bool, unforeseen: bool = False) -> int:
    code = int(getattr(problem, "exit_code", 1))
    message = problem.format_message() if isinstance(problem, TyperException) else str(problem)
    trace = "".join(traceback.format_exception(problem)).rstrip() if unforeseen else ""
    if as_json:
        error = {"kind": type(problem).__name__, "message": message, "exit_code": code}
        error |= {"traceback": trace} if trace else {}
        typer.echo(json.dumps({"error": error}, ensure_ascii=False), err=True)
    elif trace:
        say(trace)
        say("error: this should not happen; please report the command and the lines above", "red")
    elif message:  # a group without a command has said its help instead
        context = getattr(problem, "ctx", None)
        say(f"error: {message}" + (f" (see {context.command_path} --help)" if context else ""), "red")
    return code
