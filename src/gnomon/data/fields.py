"""The parts of a row under their published names: prompt, answer, system message, family, judge."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from gnomon.data.files import BadRow
from gnomon.data.transcripts import (
    is_transcript,
    text_of,
    tools_of,
    turns_of_messages,
    turns_of_transcript,
)
from gnomon.records import Conversation, Message, Source

Row = Mapping[str, Any]

PROMPT = ("prompt", "instruction", "question", "query")
INPUT = ("input", "context")
SYSTEM = ("system", "system_prompt")
ANSWER = ("completion", "response", "answer", "output")
ANSWERS = ("responses", "answers", "completions")
SCORE = ("score", "overall_score", "fine-grained_score", "rating")
SCORES = ("scores", "ratings")
RANKS = ("rank", "ranks", "ranking")
TURNS = ("messages", "conversations", "conversation")
FAMILY = ("family", "category")
ELSEWHERE = ("chosen", "rejected", "corrects", "incorrects", "winner", "instances", "turns", *TURNS)
"""Keys that say that a prompt is not all there is in a row."""


def stated_source(row: Row) -> Source | None:
    """Who judged, where the row's `source` says so in our words."""
    said = row.get("source")
    return said if said in get_args(Source) else None


def key_of(row: Row, names: Iterable[str]) -> str | None:
    """The first of these keys with a value; an empty text is a value, None is not."""
    return next((name for name in names if row.get(name) is not None), None)


def has(*groups: str | tuple[str, ...]) -> Callable[[Row], bool]:
    """Whether each key, or one of each tuple of keys, is in a row; an empty cell counts as there."""
    names = [{group} if isinstance(group, str) else set(group) for group in groups]
    return lambda row: all(group & row.keys() for group in names)


def is_list_of(value: object, kind: type) -> bool:
    """Whether a value is a list with something in it, all of one type."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, kind) for item in value)


def number_of(value: Any, field: str) -> float:
    """A finite number, from a number or its text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise BadRow("not a number", f"{field!r} is {value!r}, not a number")
    return number


def truth_of(value: Any) -> bool | None:
    """A truth value as JSON, a number or a table's text; None for anything else."""
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return bool(value) if value in (0, 1) else None


def conversation_of(row: Row, turns: tuple[Message, ...]) -> Conversation:
    """The turns with the row's system message, if they have none of their own, and its tools."""
    key = key_of(row, SYSTEM)
    system = text_of(row[key]) if key else ""
    if system.strip() and not (turns and turns[0].role == "system"):
        turns = (Message("system", system), *turns)
    return Conversation(turns, tools_of(row))


def prompt_of(row: Row) -> Conversation:
    """The prompt under any of its names, an instruction's separate input below it."""
    key, extra = key_of(row, PROMPT), key_of(row, INPUT)
    if key is None:  # the input is all there is
        key, extra = extra, None
    value: Any = row[key] if key else ""
    if is_list_of(value, Mapping):
        turns = turns_of_messages(value)
    elif is_transcript(value):
        turns = turns_of_transcript(value, key or "prompt")
        if turns[-1] == Message("assistant", ""):
            turns = turns[:-1]
    else:
        parts = (text_of(value), text_of(row[extra]) if extra else "")
        turns = (Message("user", "\n\n".join(part for part in parts if part.strip())),)
    return conversation_of(row, turns)


def answer_of(value: Any) -> tuple[Message, ...]:
    """An answer's turns, from a list of messages, one message or one text."""
    if isinstance(value, Mapping):
        return turns_of_messages([value])
    if is_list_of(value, Mapping):
        return turns_of_messages(value)
    return (Message("assistant", text_of(value)),)


def family_of(row: Row) -> str:
    """What kind of prompt it is, where the row says."""
    key = key_of(row, FAMILY)
    return str(row[key]) if key else ""


def facts_of(row: Row) -> Mapping[str, Any]:
    """What reward functions are told of a prompt beside its text, where the row says."""
    facts = row.get("facts")
    if facts in (None, ""):
        return {}
    if not isinstance(facts, Mapping):
        raise BadRow("facts are no object", f"'facts' is {facts!r}, not an object of names and values")
    return facts


def annotator_of(row: Row) -> str | None:
    """The name or number of who judged."""
    return None if row.get("annotator") is None else str(row["annotator"])
