"""`gnomon chat`: talk to a model."""

import random
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from gnomon.cli.console import say
from gnomon.cli.machine import open_engine
from gnomon.cli.options import EngineArgument, engine_ref
from gnomon.errors import DataError
from gnomon.markup import visible
from gnomon.records import Conversation, Message
from gnomon.rollouts.engine import Sampling

if TYPE_CHECKING:
    from gnomon.rollouts.endpoint import EndpointEngine
    from gnomon.rollouts.local import LocalEngine


@dataclass
class Talk:
    """A conversation in progress; a raw one has no memory, each line is a text to go on from."""

    engine: "LocalEngine | EndpointEngine"
    sampling: Sampling
    system: str | None = None
    raw: bool = False
    turns: list[Message] = field(default_factory=list)

    def answer(self, line: str) -> Generator[str, None, None]:
        """The answer piece by piece; what was said of it is remembered, also when it is broken off."""
        user, seed, said = Message("user", line), random.getrandbits(32), ""
        head = (Message("system", self.system),) if self.system else ()
        heard = Conversation((user,) if self.raw else (*head, *self.turns, user))
        try:
            for piece in self.engine.stream(heard, self.sampling, seed, raw=self.raw):
                said += piece
                yield piece
        finally:
            if said and not self.raw:
                self.turns += [user, Message("assistant", said)]


def chat(
    model: EngineArgument,
    system: Annotated[str | None, typer.Option(help="What the model is told before the first turn.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="No chat template: go on from each line.")] = False,
    temperature: Annotated[float, typer.Option(min=0, help="0 always takes the likeliest token.")] = 0.7,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="The longest answer.")] = 256,
    top_k: Annotated[int | None, typer.Option(min=1, help="Draw from this many likeliest tokens.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw from the likeliest tokens of this probability together.")
    ] = None,
) -> None:
    """Talk to a model: /reset begins anew, /quit or Ctrl-D leaves, Ctrl-C stops an answer.

    In a pipe every line is a turn and every answer ends with a line break.
    """
    ref, sampling = engine_ref(model), Sampling(max_new_tokens, temperature, top_k, top_p)
    talk = Talk(open_engine(ref), sampling, system, raw)
    if sys.stdin.isatty():
        say("/reset begins anew, /quit or Ctrl-D leaves, Ctrl-C stops an answer", "dim")
        _converse(talk, _typed())
    else:
        _read_aloud(talk)


def _converse(talk: Talk, lines: Iterator[str]) -> None:
    """Turns typed by a person, who may stop an answer and learns what was wrong with a line."""
    for line in _turns(talk, lines):
        with suppress(KeyboardInterrupt):
            try:
                if not _print(talk.answer(line)):
                    say("(it says nothing)", "dim")
            except DataError as problem:
                say(f"error: {problem}; /reset begins anew", "red")
        typer.echo()


def _read_aloud(talk: Talk) -> None:
    for line in _turns(talk, iter(sys.stdin)):
        _print(talk.answer(line))
        typer.echo()


def _turns(talk: Talk, lines: Iterator[str]) -> Iterator[str]:
    """The lines that are for the model; commands are obeyed."""
    for line in lines:
        match line.strip():
            case "":
                continue
            case "/quit":
                return
            case "/reset":
                talk.turns.clear()
                say("a new conversation", "dim")
            case text:
                yield text


def _print(pieces: Generator[str, None, None]) -> bool:
    """Print an answer as it comes; whether there was one."""
    some = False
    with closing(pieces):
        for piece in pieces:
            print(visible(piece), end="", flush=True)
            some = some or bool(piece)
    return some


def _typed() -> Iterator[str]:
    with suppress(ImportError):
        import readline  # noqa: F401, PLC0415  line editing; writes to the terminal when imported
    while True:
        try:
            yield input("> ")
        except EOFError:
            typer.echo()
            return
        except KeyboardInterrupt:
            typer.echo()
            say("/quit or Ctrl-D leaves", "dim")
