"""Rows read into instructions, and which of them a response follows: IFEval's strict and loose measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gnomon.errors import DataError
from gnomon.judges.instructions.kinds import KINDS, problem


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, by its published id; DataError, naming what is wrong, where it cannot be checked."""

    id: str
    kwargs: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Refuse unknown ids and missing, unknown or misshapen kwargs."""
        found = problem(self.id, self.kwargs)
        if found:
            raise DataError(f"instruction {self.id!r} {found}")


@dataclass(frozen=True, slots=True)
class Instructions:
    """A published row: a prompt, and the instructions in it that answers are checked for."""

    key: str
    prompt: str
    instructions: tuple[Instruction, ...]


def instructions_of(row: Mapping[str, Any]) -> Instructions:
    """A row as published (`key`, `prompt`, `instruction_id_list`, `kwargs`); null kwargs are not there.

    DataError, naming the row and what is wrong with it, where it is no such row.
    """
    key, prompt, ids, kwargs = (row.get(k) for k in ("key", "prompt", "instruction_id_list", "kwargs"))
    if not isinstance(prompt, str) or not prompt.strip():
        raise DataError(f"row {key!r}: prompt is {prompt!r}; it must be a text that is not blank")
    if not (isinstance(ids, list) and isinstance(kwargs, list) and len(ids) == len(kwargs) > 0):
        raise DataError(
            f"row {key!r}: instruction_id_list is {ids!r} and kwargs {kwargs!r}; they must be two lists of "
            "one length, 1 or more"
        )
    try:
        found = tuple(Instruction(name, _given(values)) for name, values in zip(ids, kwargs, strict=True))
    except DataError as refused:
        raise DataError(f"row {key!r}: {refused}") from refused
    return Instructions(str(key), prompt, found)


def follow(response: str, instructions: Sequence[Instruction]) -> tuple[bool, ...]:
    """Whether the response follows each instruction, in order; a blank one follows none. The strict measure.

    ConfigError where an instruction is about a language and langdetect is not installed.
    """
    return tuple(_follows(response, instruction) for instruction in instructions)


def follow_loosely(response: str, instructions: Sequence[Instruction]) -> tuple[bool, ...]:
    """Whether any of the response's `variants` follows each instruction, in order. The loose measure."""
    tried = variants(response)
    return tuple(any(_follows(variant, each) for variant in tried) for each in instructions)


def variants(response: str) -> tuple[str, ...]:
    """The response; it without its first line, its last, and both; and these four without asterisks.

    So neither what is said around an answer ("Sure, here it is:") nor emphasis counts against it.
    """
    lines = response.split("\n")
    cut = [response, *("\n".join(kept).strip() for kept in (lines[1:], lines[:-1], lines[1:-1]))]
    return (*cut, *(text.replace("*", "") for text in cut))


def _given(kwargs: object) -> Any:
    if not isinstance(kwargs, Mapping):
        return kwargs
    return {name: value for name, value in kwargs.items() if value is not None}


def _follows(response: str, instruction: Instruction) -> bool:
    return bool(response.strip()) and KINDS[instruction.id].follows(response, **instruction.kwargs)
