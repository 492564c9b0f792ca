"""A written request and its answer on the way to a composed row, and what sort of text they are."""

import json
import re
from dataclasses import dataclass
from typing import Literal

from gnomon.data.composing.measure import items, paragraphs, words
from gnomon.data.composing.wordings import signs
from gnomon.records import Demonstration

Shape = Literal["prose", "letter", "verse", "list", "marked", "brief", "foreign", "code"]
"""`marked` has headings, lists or lines of its own beside prose; `brief` is less than a sentence or so."""

Voice = Literal["answer", "piece", "letter", "work"]
"""The assistant's own words; a story or poem; a letter; or what is not to be added to, as work on a text."""

Topic = Literal["length", "count", "form"]
"""What a request may rule on: how long the answer is, how many words, sentences or lines it has, its form."""

ASKING = 4
"""Words of a request that says what it wants."""

BRIEF = 8
"""Words from which an answer is more than a brief one."""

LANGUAGES = (
    *("Spanish", "French", "German", "Italian", "Portuguese", "Dutch", "Latin", "Welsh", "Polish", "Swedish"),
    *("Japanese", "Turkish", "Danish", "Norwegian", "Finnish", "Greek", "Russian", "Chinese", "Arabic"),
)

_TOPICS: dict[Topic, re.Pattern[str]] = {
    "length": signs("length"),
    "count": signs("count"),
    "form": signs("form"),
}
_PIECE, _WORK, _GRAVE, _DECLINES = signs("piece"), signs("work"), signs("grave"), signs("declining")
_SALUTED = re.compile(
    r"^(?:Dear|Hi|Hello|Hey|Good (?:morning|evening|afternoon)|To whom)\b[^\n]{0,60}\n\n", re.M
)
_MARKED = re.compile(r"^[ \t]*(?:[-*+]|\d{1,2}[.)])[ \t]|^#|\||\*|_\w+_", re.M)
_CODE = re.compile(r"[`{}\\<>]|\w\(\)|https?:|\[[^\]]*\]|[=^]")


@dataclass(frozen=True, slots=True)
class Draft:
    """A request and its answer while constraints are added to them.

    `source` is the answer as it was written, `ruled` what the request itself already rules on, and `beside`
    another request and answer of the same kind.
    """

    request: str
    answer: str
    source: str
    shape: Shape
    voice: Voice
    ruled: frozenset[Topic]
    language: str | None = None
    beside: tuple[str, str] | None = None


def draft_of(row: Demonstration) -> Draft | None:
    """A demonstration as a draft; None where constraints would be out of place.

    That is where it has several turns, a system message or tools, answers with data, asks too little to tell
    what, or is about what deserves an answer in plain words: death, illness, danger.
    """
    turns = row.conversation.messages
    if [turn.role for turn in turns] != ["user", "assistant"] or row.conversation.tools:
        return None
    request, answer = turns[0].content.strip(), turns[1].content.strip()
    if len(request.split()) < ASKING or not answer or _is_json(answer):
        return None
    if _GRAVE.search(request) or _GRAVE.search(answer):
        return None
    named = [name for name in LANGUAGES if re.search(rf"\b{name}\b", request, re.I)]
    shape = _shape(request, answer, foreign=bool(named) or "translat" in request.lower())
    ruled = {topic for topic, pattern in _TOPICS.items() if pattern.search(request)}
    if '"' in request:
        ruled.add("form")
    return Draft(
        request,
        answer,
        source=answer,
        shape=shape,
        voice=_voice(request, answer, shape),
        ruled=frozenset(ruled),
        language=named[0] if len(named) == 1 else None,
    )


def _shape(request: str, answer: str, *, foreign: bool) -> Shape:
    if _CODE.search(answer):
        return "code"
    if foreign or not answer.isascii():
        return "foreign"
    if words(answer).least < BRIEF and "\n" not in answer:
        return "brief"
    if items(answer):
        return "list"
    return "marked" if _MARKED.search(answer) else _unmarked(request, answer)


def _unmarked(request: str, answer: str) -> Shape:
    if _SALUTED.search(answer):
        return "letter"
    if all("\n" not in part for part in paragraphs(answer)):
        return "prose"
    return "verse" if _PIECE.search(request) else "marked"


def _voice(request: str, answer: str, shape: Shape) -> Voice:
    if shape == "letter":
        return "letter"
    if any(mark in request for mark in '\n:"') or _DECLINES.search(answer) or answer.startswith('"'):
        return "work"
    if _PIECE.search(request):
        return "piece"
    return "work" if _WORK.search(request) else "answer"


def _is_json(answer: str) -> bool:
    try:
        return isinstance(json.loads(answer), dict | list)
    except ValueError:
        return False
