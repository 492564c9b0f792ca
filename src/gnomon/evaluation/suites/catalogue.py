"""All suites by name, and how they are asked for."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gnomon.errors import ConfigError
from gnomon.evaluation.examine import Suite
from gnomon.evaluation.suites.answering import answering, dialogue
from gnomon.evaluation.suites.choices import behaviours, hhh, knowledge, statements
from gnomon.evaluation.suites.harmlessness import harmlessness
from gnomon.evaluation.suites.honesty import unanswerable
from gnomon.evaluation.suites.ifeval import ifeval
from gnomon.evaluation.suites.refusals import refusals
from gnomon.evaluation.suites.sycophancy import sycophancy
from gnomon.evaluation.suites.tax import passages

BUILTIN: Mapping[str, Callable[[Path | None], Suite]] = {
    "answering": answering,
    "dialogue": dialogue,
    "refusals": refusals,
    "harmlessness": harmlessness,
    "sycophancy": sycophancy,
    "unanswerable": unanswerable,
    "statements": statements,
    "knowledge": knowledge,
    "passages": passages,
}
"""Suites that come with data of their own, and take a file instead."""

FROM_FILE: Mapping[str, Callable[[Path], Suite]] = {"ifeval": ifeval, "hhh": hhh, "behaviours": behaviours}
"""Suites that read a published file."""

ALL = "all"


def suites_of(asked: Sequence[str]) -> list[Suite]:
    """The suites that are asked for as `NAME`, `NAME=FILE` or `all` (those that come with data and are not
    asked for by name).

    ConfigError for an unknown name, a file that is missing or needed, a suite that is asked for twice.
    """
    named: dict[str, Suite] = {}
    for suite in (_suite(text) for text in asked if text != ALL):
        if suite.name in named:
            raise ConfigError(f"suite {suite.name} is asked for twice; name it once, with or without a file")
        named[suite.name] = suite
    if ALL in asked:
        named = {name: named.get(name) or make(None) for name, make in BUILTIN.items()} | named
    return list(named.values())


def _suite(text: str) -> Suite:
    name, _, given = text.partition("=")
    file = Path(given) if given else None
    if name not in BUILTIN and name not in FROM_FILE:
        raise ConfigError(
            f"there is no suite {name!r}; there are {', '.join([*BUILTIN, *FROM_FILE])} and {ALL}"
        )
    if file is not None and not file.is_file():
        raise ConfigError(f"suite {name}: there is no file {file}")
    if name in BUILTIN:
        return BUILTIN[name](file)
    if file is None:
        raise ConfigError(f"suite {name} comes without data of its own; give its file: {name}=FILE")
    return FROM_FILE[name](file)
