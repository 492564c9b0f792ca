"""Why a revision is not kept. Small critics fall into loops, closers and critiques of themselves."""

import re

from gnomon.judges.text import closers, evasive, loops, role_leak
from gnomon.records import Critique

SHARED = 0.5
"""A text says another again when it has this share of that text's 4-word windows, or the other way round."""

_WORD = re.compile(r"\w+(?:'\w+)?")
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf\U0001f1e6-\U0001f1ff]|(?<!\\S)[:;]-?[()D](?!\\S)")
_LABELS = re.compile(
    r"^\W*(?:request|answer|problem|task|critique|criticism|revision|revised|new answer)\b[^\n]{0,20}:",
    re.I | re.M,
)
_ABOUT_ANSWERS = re.compile(
    r"""\b(?:the|this|that|your|assistant's)[ ](?:new[ ]|last[ ]|first[ ]|original[ ]|revised[ ])?
          (?:answer|response|reply)\b
          (?![ ](?:to|depends|is)\b(?![ ](?:too|not|very|a|un\w+|in\w+|\w+ful|rude|wrong|false|good)\b))
      | \bthe[ ](?:assistant|user|request)\b
    """,
    re.I | re.X,
)
"""Talk about an answer; "the answer is 7" and "the answer depends on" are answers."""

_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """about after also because been before being could does doing down each from have having here into
        just like make more most much need only other over same should some such than that their them then
        there these they this those very want were what when where which while will with would your yours""",
    )
)


def rejections(row: Critique, *, ended: bool, shown: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The reasons against keeping a row's revision, none where it is clean.

    `ended` says whether the model ended its turn; `shown` are texts that stood before the model as examples
    or requests, which a small model likes to say again.
    """
    request, revision = row.prompt.messages[-1].content, row.revision
    if not any(character.isalnum() for character in revision):
        return ("empty",)
    found = {
        "unchanged": words(revision) == words(row.response),
        "role leak": role_leak(revision) or _LABELS.search(revision) is not None,
        "repetition": loops(revision),
        "closer": bool(closers(revision)),
        "emoji": new_emoji(request, row.response, revision),
        "cut off": not ended,
        "critique instead of revision": critiques(request, row.critique, revision),
        "echo": any(repeats(revision, text) for text in (request, *shown)),
        "lost content": loses_content(request, row.response, revision),
    }
    return tuple(reason for reason, holds in found.items() if holds)


def new_emoji(request: str, response: str, revision: str) -> bool:
    """Whether the revision has emoji or smileys where the response had none and nobody asked for them."""
    asked = re.search(r"\b(?:emojis?|smileys?)\b", request, re.I)
    return bool(_EMOJI.search(revision)) and not (_EMOJI.search(response) or asked)


def critiques(request: str, critique: str, revision: str) -> bool:
    """Whether the text says what is wrong with an answer: its first sentence speaks of answers, or it repeats
    the critique. A request that itself speaks of answers may be answered so."""
    opening = re.split(r"(?<=[.!?])\s", revision, maxsplit=1)[0]
    about = _ABOUT_ANSWERS.search(opening) is not None and not _ABOUT_ANSWERS.search(request)
    return about or repeats(revision, critique)


def loses_content(request: str, response: str, revision: str) -> bool:
    """Whether no word of weight in the request or the response comes back, as after a change of subject.

    Words count by their first five letters. A text that declines has a right to leave everything out.
    """
    subject = _subject(request) | _subject(response)
    return bool(subject) and not subject & _subject(revision) and not evasive(revision)


def repeats(text: str, other: str) -> bool:
    """Whether one text is mostly made of the other's words in the other's order."""
    mine, theirs = _windows(text), _windows(other)
    if not mine or not theirs:
        return bool(words(text)) and words(text) == words(other)
    return len(mine & theirs) > SHARED * min(len(mine), len(theirs))


def words(text: str) -> list[str]:
    """The words of a text, without case and punctuation."""
    return _WORD.findall(text.replace("’", "'").casefold())


def _windows(text: str) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[i : i + 4]) for i in range(len(found) - 3)}


def _subject(text: str) -> set[str]:
    return {word[:5] for word in words(text) if len(word) > 3 and word not in _STOP_WORDS}
