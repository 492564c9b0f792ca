"""What makes a record usable, whatever shape it was read from."""

import math
from collections.abc import Sequence
from dataclasses import replace

from gnomon.data.files import BadRow
from gnomon.records import Comparison, Demonstration, Label, Message, Prompt, R, Ranking, Rating


def usable(record: R, *fields: str) -> R:
    """The record itself; BadRow, naming the answer's `fields` in the row, where nothing can learn from it."""
    match record:
        case Prompt():
            _check_waiting(record.conversation.messages)
        case Demonstration():
            _check_demonstration(record, *fields)
        case Comparison():
            _check_comparison(record, *(fields or ("first", "second")))
        case Ranking():
            _check_ranking(record)
        case Rating():
            _check_waiting(record.prompt.messages)
            _check_answer((Message("assistant", record.response),), *(fields or ("response",)))
    return record


def _check_demonstration(record: Demonstration, field: str = "conversation") -> None:
    turns = record.conversation.messages
    _check_answer(turns, field)
    _check_prompt(turns[:-1])
    if not any(turn.carries_loss for turn in turns):
        raise BadRow("no turn carries loss", "every turn is switched off with weight 0")


def _check_comparison(record: Comparison, one: str, other: str) -> None:
    for field, turns in ((one, record.first), (other, record.second)):
        _check_answer(turns, field)
        if any(turn.role in ("user", "system") for turn in turns):
            raise BadRow("prompts differ", f"{one!r} and {other!r} part before the last prompt")
    _check_waiting(record.prompt.messages)
    if _trimmed(record.first) == _trimmed(record.second):
        raise BadRow("answers are equal", f"{one!r} and {other!r} are equal")
    if record.label is not None:
        _check_label(record.label)


def _check_label(label: Label) -> None:
    if not 0 <= label.preference <= 1:
        raise BadRow(
            "preference is no probability", f"'preference' is {label.preference}; it goes from 0 to 1"
        )
    if not 0 < label.weight < math.inf:
        raise BadRow("weight is not above 0", f"'weight' is {label.weight}; it must be a number above 0")
    if label.strength is not None and not 0 <= label.strength <= 1:
        raise BadRow("unknown strength", f"'strength' is {label.strength}; it goes from 0 to 1")


def _check_ranking(record: Ranking) -> None:
    _check_waiting(record.prompt.messages)
    if len(record.responses) < 2:
        raise BadRow("fewer than two answers", "a ranking needs two answers or more")
    if record.scores is not None and len(record.responses) != len(record.scores):
        numbers = f"{len(record.responses)} answers with {len(record.scores)} scores"
        raise BadRow("answers and scores differ in number", f"it has {numbers}")
    if record.scores is not None and not all(map(math.isfinite, record.scores)):
        raise BadRow("not a number", f"'scores' are {list(record.scores)}, not all of them numbers")
    if record.origins and len(record.responses) != len(record.origins):
        numbers = f"{len(record.responses)} answers with {len(record.origins)} origins"
        raise BadRow("answers and origins differ in number", f"it has {numbers}")
    if not all(response.strip() for response in record.responses):
        raise BadRow("empty response", "one of the ranked answers is empty")


def _check_waiting(turns: Sequence[Message]) -> None:
    _check_prompt(turns)
    if turns[-1].role == "assistant":
        raise BadRow("prompt ends with the assistant", "the prompt ends with an assistant's turn")


def _check_prompt(turns: Sequence[Message]) -> None:
    if not any(turn.content.strip() for turn in turns if turn.role == "user"):
        raise BadRow("empty prompt", "the prompt is empty")
    if any(_is_empty(turn) for turn in turns if turn.role != "tool"):
        raise BadRow("empty turn", "a turn before the answer is empty")


def _check_answer(turns: Sequence[Message], field: str) -> None:
    if not turns:
        raise BadRow("empty response", f"{field!r} is empty")
    if turns[-1].role != "assistant":
        raise BadRow("last turn is not the assistant's", f"the last turn of {field!r} is not the assistant's")
    if _is_empty(turns[-1]):
        raise BadRow("empty response", f"{field!r} is empty")


def _is_empty(turn: Message) -> bool:
    return not turn.content.strip() and not turn.tool_calls


def _trimmed(turns: Sequence[Message]) -> list[Message]:
    return [replace(turn, content=turn.content.strip(), trained=None) for turn in turns]
