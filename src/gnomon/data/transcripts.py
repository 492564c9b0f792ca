"""Turns in every published spelling: lists of messages, ShareGPT turns, and HH transcripts."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gnomon.data.files import BadRow, check_text
from gnomon.records import Message, Role, ToolCall

MARKER = re.compile(r"\n\n(Human|Assistant):")
"""The published files part turns here and nowhere else: a 'Human:' inside a turn is the turn's text."""

ROLES: Mapping[str, Role] = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model", "ai", "function_call"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "observation", "function_response", "tool_response"), "tool"),
}


def is_transcript(value: object) -> bool:
    """Whether a value is an HH transcript: a text whose first turn is marked."""
    return isinstance(value, str) and MARKER.match(value) is not None


def turns_of_transcript(text: str, field: str) -> tuple[Message, ...]:
    """The turns of an HH transcript, the white space around each taken off."""
    before, *parts = MARKER.split(text)
    if before.strip() or not parts:
        raise BadRow("no turn markers", f"{field!r} does not start with a '\\n\\nHuman:' turn")
    marked = zip(parts[::2], parts[1::2], strict=True)
    return tuple(Message(ROLES[role.lower()], content.strip()) for role, content in marked)


def turns_of_messages(values: Any) -> tuple[Message, ...]:
    """Messages of OpenAI's or ShareGPT's spelling; empty system messages say nothing and are left out.

    BadRow for anything but a list of objects.
    """
    if not isinstance(values, list | tuple) or not all(isinstance(value, Mapping) for value in values):
        raise BadRow("turns are not messages", "its turns are not a list of messages")
    turns = tuple(_message(value) for value in values)
    return tuple(turn for turn in turns if turn.role != "system" or turn.content.strip())


def shared_turns(one: Sequence[Message], other: Sequence[Message]) -> int:
    """How many turns both begin with, up to the last that is not the assistant's; 0 without a user's."""
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    while count and one[count - 1].role == "assistant":
        count -= 1
    return count if any(turn.role == "user" for turn in one[:count]) else 0


def text_of(value: Any) -> str:
    """A cell as text: the text parts of a list joined, numbers and truth values written out, None empty."""
    if value is None:
        return ""
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list):
        return "".join(_part(part) for part in value)
    raise BadRow("not text", f"a {type(value).__name__} stands where text is expected")


def tools_of(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The schemas of the tools a row offers, from `tools` or the older `functions`, as lists or JSON text."""
    if row.get("tools"):
        return _schemas(row["tools"])
    return tuple({"type": "function", "function": schema} for schema in _schemas(row.get("functions") or ()))


def _schemas(value: Any) -> tuple[Mapping[str, Any], ...]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as problem:
            raise BadRow("tools are not valid JSON", f"its tools are not valid JSON ({problem})") from problem
        check_text(value)
    if not isinstance(value, list | tuple) or not all(isinstance(schema, Mapping) for schema in value):
        raise BadRow("tools are not objects", "its tools are not a list of JSON schemas")
    return tuple(value)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
    raise BadRow("not text", f"a message has a part of type {kind!r}; only text can be read")


def _message(value: Mapping[str, Any]) -> Message:
    said = value.get("role") or value.get("from")
    role = ROLES.get(str(said).lower())
    if role is None:
        raise BadRow("unknown role", f"the role {said!r} is unknown; write system, user, assistant or tool")
    content = next((value[key] for key in ("content", "value", "text") if value.get(key) is not None), None)
    if str(said).lower() == "function_call":
        return Message(role, "", (_call(_json_object(content)),), trained=_trained(value))
    older = value.get("function_call")
    calls = value.get("tool_calls") or ([older] if older else [])
    if not isinstance(calls, list):
        raise BadRow("tool calls are not a list", "'tool_calls' is not a list")
    return Message(
        role,
        text_of(content),
        tuple(_call(call) for call in calls),
        tool_call_id=_name(value.get("tool_call_id")),
        trained=_trained(value),
    )


def _name(value: Any) -> str | None:
    return None if value is None else str(value)


def _call(value: Any) -> ToolCall:
    """A call as OpenAI nests it under `function`, or flat; arguments as JSON text or as an object."""
    function = value.get("function") or value if isinstance(value, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise BadRow("tool call without a name", "a tool call does not name its function")
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments or {}, ensure_ascii=False)
    return ToolCall(function["name"], arguments, _name(value.get("id")))


def _json_object(text: Any) -> Any:
    if isinstance(text, Mapping):
        return text
    try:
        value = json.loads(text_of(text))
    except ValueError as problem:
        raise BadRow("tool call is not valid JSON", f"a tool call is not valid JSON ({problem})") from problem
    check_text(value)
    return value


def _trained(value: Mapping[str, Any]) -> bool | None:
    """Whether a turn carries loss, from `trained` or OpenAI's `weight`; None where the row is silent."""
    said = value.get("trained") if value.get("trained") is not None else value.get("weight")
    if said is None:
        return None
    if said not in (0, 1):
        raise BadRow("weight is not 0 or 1", f"a message has the weight {said!r}; write 0 or 1")
    return bool(said)
