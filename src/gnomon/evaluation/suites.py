"""Suites: the prompts an evaluation asks, with the checks their answers must pass."""

from collections import Counter
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

from gnomon.data.formats import load
from gnomon.errors import DataError
from gnomon.judges.verifiable import validate_checks
from gnomon.records import Prompt


def builtin() -> list[Prompt]:
    """The built-in held-out prompts, file by file in alphabetical order; each file is a family."""
    folder = files("gnomon.data") / "builtin" / "evaluation"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".jsonl"))
    prompts: list[Prompt] = []
    for name in names:
        with as_file(folder / name) as path:
            prompts += suite(path)
    return _distinct(prompts, "the built-in suite")


def suite(path: Path) -> list[Prompt]:
    """The prompts of a file, of the file's name as family where a row says none.

    DataError where a row is no prompt, its checks are not valid, or an id comes twice.
    """
    prompts: list[Prompt] = []
    for number, record in enumerate(load(path).records, start=1):
        if not isinstance(record, Prompt):
            kind = type(record).__name__
            raise DataError(f"record {number} of {path.name} is a {kind}; a suite holds prompts and checks")
        try:
            validate_checks(record.checks)
        except DataError as problem:
            raise DataError(f"prompt {record.id} of {path.name}: {problem}") from problem
        prompts.append(replace(record, family=record.family or path.name.split(".")[0]))
    return _distinct(prompts, path.name)


def _distinct(prompts: list[Prompt], name: str) -> list[Prompt]:
    twice = [name for name, count in Counter(prompt.id for prompt in prompts).items() if count > 1]
    if twice:
        raise DataError(f"{name}: the id {twice[0]!r} comes more than once; give each prompt its own")
    return prompts
