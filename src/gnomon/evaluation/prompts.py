"""Suites: the prompts an evaluation asks, with the checks their answers must pass."""

from collections.abc import Sequence
from pathlib import Path

from gnomon.data.reader import BUILTIN, Reader
from gnomon.errors import DataError
from gnomon.judges.verifiable import validate_checks
from gnomon.records import Prompt


def builtin() -> list[Prompt]:
    """The built-in held-out prompts, file by file in alphabetical order; each file is a family."""
    return checked(Reader().read("evaluation", Prompt, [BUILTIN]))


def suite(path: Path) -> list[Prompt]:
    """The prompts of a file, of the file's name as family where a row says none."""
    return checked(Reader().read("evaluation", Prompt, [str(path)]))


def checked(prompts: Sequence[Prompt]) -> list[Prompt]:
    """The prompts themselves; DataError, naming the prompt, where checks are not valid."""
    for prompt in prompts:
        try:
            validate_checks(prompt.checks)
        except DataError as problem:
            raise DataError(f"prompt {prompt.id}: {problem}") from problem
    return list(prompts)
