"""What the terminal shows: results on standard output, everything else on standard error."""

import json
import logging
import os
import sys
import warnings
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from gnomon.markup import visible

FIRST = "WORLD_SIZE" not in os.environ or os.environ.get("RANK", "0") == "0"
"""Whether this is the process that people hear; torchrun numbers them."""

out = Console(highlight=False, quiet=not FIRST)
err = Console(stderr=True, highlight=False)


def say(text: str, style: str = "") -> None:
    """One line on standard error, wrapped by the terminal alone; what looks like markup is text."""
    err.print(Text(visible(text), style), soft_wrap=True)


def warn(text: str) -> None:
    """A warning, as one line."""
    say(f"warning: {text}", "yellow")


def print_json(value: Any) -> None:
    """One JSON value on standard output, and nothing else there."""
    if FIRST:
        typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


class ConsoleHandler(logging.Handler):
    """Shows what Gnomon logs, above a progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        message = record.getMessage()
        if record.levelno >= logging.WARNING:
            warn(message)
        else:
            say(message, "dim")


def settle_chatter() -> None:
    """Let Gnomon's own log speak, and silence the libraries below it; call before they are imported.

    Variables that are set already, and `python -W`, win.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    log = logging.getLogger("gnomon")
    log.setLevel(logging.INFO)
    log.addHandler(ConsoleHandler())
    log.propagate = False
