"""Constraints on form, how they are put into words, and the pools of words and lines that go with them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from random import Random
from typing import Literal, NamedTuple

import yaml

Form = Literal["sentences", "rules", "tags"]
"""A sentence of its own, what follows "Your answer must", or what stands beside a request."""

SPELLED = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NTH = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
QUOTES = ('"', '"', "'", "")
QUOTED = ("word", "letter", "letters", "first", "second")
"""Values that stand between quotation marks."""

Value = int | str | tuple[str, ...]


class Constraint(NamedTuple):
    """One thing a program can verify of an answer: its kind, and the numbers and words that go with it."""

    kind: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Counted:
    """A number in a wording: with the noun `time` it is "twice", with others "3 words" or "three words"."""

    number: int
    spelled: bool

    def __format__(self, noun: str) -> str:
        shown = SPELLED[self.number] if self.spelled and self.number < len(SPELLED) else str(self.number)
        if noun == "time" and self.number in (1, 2):
            return ("once", "twice")[self.number - 1]
        if not noun:
            return shown
        return f"one {noun}" if self.number == 1 else f"{shown} {_plural(noun)}"


def _plural(noun: str) -> str:
    return f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"


def _pool(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.splitlines() if line)


def _read(name: str) -> dict[str, object]:
    values: dict[str, object] = yaml.safe_load(
        files("gnomon.data.composing").joinpath(name).read_text(encoding="utf-8")
    )
    return values


Wordings = Mapping[str, Mapping[Form, tuple[str, ...]]]
"""By kind, and each by form."""


def _wordings(name: str) -> Wordings:
    return {
        kind: {form: _pool(text) for form, text in forms.items()}
        for kind, forms in _read(name).items()
        if isinstance(forms, dict)
    }


WORDINGS = _wordings("wordings.yaml")
"""Of the kinds that composed answers obey."""

FURTHER = _wordings("further.yaml")
"""Of kinds that only prompts for practice have."""

ALL_WORDINGS: Wordings = {**WORDINGS, **FURTHER}

POOLS: Mapping[str, tuple[str, ...]] = {name: _pool(str(text)) for name, text in _read("pools.yaml").items()}
COMMON = frozenset(" ".join(POOLS["common"]).split())
FORBIDDEN = tuple(" ".join(POOLS["forbidden"]).split())


def signs(pool: str) -> re.Pattern[str]:
    """A pattern that finds any entry of a pool where it stands as a word, letter case aside."""
    return re.compile(rf"\b(?:{'|'.join(POOLS[pool])})\b", re.I)


def worded(constraint: Constraint, form: Form, rng: Random) -> str | None:
    """The constraint in words chosen at random; None where its kind has no wording of this form."""
    wordings = ALL_WORDINGS[constraint.kind][form]
    if not wordings:
        return None
    return rng.choice(wordings).format_map(_shown(constraint, rng))


def _shown(constraint: Constraint, rng: Random) -> dict[str, object]:
    """The values as they stand in a sentence: numbers as digits or words, words between quotation marks."""
    shown: dict[str, object] = {}
    mark, spelled = rng.choice(QUOTES), rng.random() < 0.5
    for name, value in constraint.values.items():
        match value:
            case int():
                shown[name] = Counted(value, spelled)
            case tuple() if name == "words":
                last = "or" if constraint.kind == "forbidden" else "and"
                noun = "the word" if len(value) == 1 else "the words"
                each = [quoted(word, mark) for word in value]
                shown |= {name: ", ".join(each), "the words": f"{noun} {listed(each, last)}"}
            case tuple() if name == "keys":
                noun = "the key" if len(value) == 1 else "the keys"
                shown[name] = f"{noun} {listed([quoted(key) for key in value])}"
            case tuple() if name == "options":
                shown[name] = listed([quoted(option) for option in value], "or")
            case tuple():
                shown[name] = listed(value)
            case str() if name in QUOTED:
                shown[name] = quoted(value, mark or '"')
            case str():
                shown[name] = value
    return shown


def quoted(text: str, mark: str = '"') -> str:
    """The text between two quotation marks."""
    return f"{mark}{text}{mark}"


def listed(parts: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b` or `a, b and c`."""
    return f" {last} ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
