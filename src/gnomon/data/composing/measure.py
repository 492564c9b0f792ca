"""What can be counted in a text. Where people count differently, both ends of the range are given."""

import re
from itertools import pairwise
from typing import NamedTuple

from gnomon.data.composing.wordings import COMMON

_SENTENCE_END = re.compile(r"(?<!\.)[.!?][\"')\]*]*(?=\s+[\"'(\[*]*[A-Z]|\s*$)")
_ABBREVIATED = re.compile(
    r"(?:\b(?:mrs?|ms|dr|prof|st|no|vs|approx|jr|sr|e\.g|i\.e|a\.m|p\.m)|\b[A-Z])$", re.I
)
_STOP = re.compile(r"[.!?…]+")
_STOPPED = re.compile(r"[.!?…][\"')\]*]*\s*$")
_BLANK = re.compile(r"\n[ \t]*\n\s*")
_BULLET = re.compile(r"^[ \t]*([-*])[ \t]+(?=\S)", re.M)
_NUMBERED = re.compile(r"^[ \t]*\d{1,2}[.)][ \t]+(?=\S)", re.M)
_PLAIN = re.compile(r"(?<![\w'*-])[a-z]+(?![\w'*-])")


class Range(NamedTuple):
    """The fewest and the most there are of something, by any usual way of counting."""

    least: int
    most: int


def words(text: str) -> Range:
    """Words: what stands between spaces and holds a letter or digit, or runs of these ("don't" is two)."""
    spaced = text.split()
    spoken = sum(any(sign.isalnum() for sign in part) for part in spaced)
    runs = len(re.findall(r"\w+", text))
    return Range(min(spoken, runs), max(len(spaced), runs))


def sentences(text: str) -> Range:
    """Sentences: at least those that end before a capital, at most one for every stop or unstopped line."""
    ends = [text[: match.start()] for match in _SENTENCE_END.finditer(text)]
    least = sum(not _ABBREVIATED.search(before) for before in ends)
    lines = [line for line in text.splitlines() if line.strip()]
    most = len(_STOP.findall(text)) + sum(not _STOPPED.search(line) for line in lines)
    return Range(min(least, most), most)


def split_sentences(text: str) -> list[str] | None:
    """The sentences of one line, or None where it is not sure where they end."""
    counted = sentences(text)
    if "\n" in text or counted.least != counted.most:
        return None
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    parts = [text[start:end].strip() for start, end in pairwise([0, *ends])]
    opening = [part.lstrip("\"'([*")[:1] for part in parts]
    return parts if all(sign.isupper() or sign.isdigit() for sign in opening) else None


def paragraphs(text: str) -> list[str]:
    """What blank lines part."""
    return [part for part in _BLANK.split(text.strip()) if part]


def bullets(text: str) -> list[str]:
    """The mark of each line that begins with `-` or `*`."""
    return [str(mark) for mark in _BULLET.findall(text)]


def items(text: str) -> list[str] | None:
    """The items of a list of one kind, without bullets or numbers; None where a line is no item."""
    lines = [line for line in text.splitlines() if line.strip()]
    for pattern in (_BULLET, _NUMBERED):
        if len(lines) > 1 and all(pattern.match(line) for line in lines):
            return [pattern.sub("", line).strip() for line in lines]
    return None


def telling(text: str) -> list[str]:
    """The words that say something, each once: in lower case, of four letters or more, none of `COMMON`."""
    found = dict.fromkeys(_PLAIN.findall(text))
    return [word for word in found if len(word) >= 4 and word not in COMMON]


def occurrences(word: str, text: str) -> Range:
    """How often a word occurs, letter case aside: at least as a whole word, at most within words too."""
    whole = len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.I))
    return Range(whole, text.lower().count(word.lower()))


def capital_words(text: str) -> Range:
    """Words in capitals: at least those of two letters or more, at most single letters and parts too."""
    parts = re.findall(r"[^\W\d_]+", text)
    least = sum(
        len(part) > 1 and part.isupper() for part in re.findall(r"(?<![\w'-])[^\W\d_]+(?![\w'-])", text)
    )
    return Range(least, max(sum(part.isupper() for part in parts), sum(w.isupper() for w in text.split())))
