"""What the page for those who know other libraries says, held against the code."""

import re
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from gnomon.config import Recipe
from gnomon.records import Conversation
from gnomon.rewards.functions import Answer

PAGE = (Path(__file__).parents[1] / "docs" / "coming-from.md").read_text(encoding="utf-8")


def fields(kind: Any) -> dict[str, Any]:
    """What the settings that an annotation speaks of can set, and the annotations of these."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return {name: value for part in get_args(kind) for name, value in fields(part).items()}


def test_settings_are_called_as_those_who_come_from_elsewhere_are_told():
    names = "|".join(Recipe.model_fields)
    told = set(re.findall(rf"`((?:{names})(?:\.[a-z_]+)*)(?:: [^`]*)?`", PAGE))
    assert len(told) > 30
    for path in told:
        kind: Any = Recipe
        for part in path.split("."):
            kind = fields(kind)[part]


def test_a_reward_function_of_trl_can_be_called():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    room: dict[str, Any] = {}
    exec(block, room)
    asked = Conversation.of("2 + 2?")
    answers = [
        Answer(name, asked, text, ended=True, tokens=1, facts={"solution": "4"})
        for name, text in (("a", "It is 4."), ("b", "5"))
    ]
    assert room["as_in_trl"](answers) == [1.0, 0.0]
