"""Sentences as the published checkers count them.

Those split by Punkt (Kiss and Strunk 2006, Computational Linguistics 32:485) as NLTK 3.10 has it, trained on
newspapers, whose tables have to be downloaded. Here are its rules, with tables short enough to read.
"""

import re
from collections.abc import Iterator
from itertools import zip_longest

_CLOSES = r"""?!)";}\]*:@'({\[‘’“”«»"""
"""What ends a word as white space does; within a stretch of text, stops count only before one of these."""

_LAST_STOP = re.compile(rf".*[.?!](?=[{_CLOSES}])")
_WORD_BREAK = re.compile(r"""(?=['?!‘’“”«»])|[)";}\]*:@({\[]|-{2,}|\.{2,}""")
_NEVER_FIRST = "`&#-,"
_TAIL = re.compile(r"""["')\]}‘’“”«»]+?(?:\s+|(?=--)|$)""", re.M)
_INITIAL = re.compile(r"[^\W\d]\.")
_NUMBER = re.compile(r"-?[.,]?\d[\d,.-]*")
_PUNCTUATION = ";:,.!?"


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ABBREVIATIONS = _listed(
    """mr mrs ms messrs dr prof sen rep reps gen col maj lt st jr sr adm inc corp co cos ltd bros cie
    jan feb aug sep sept oct nov dec tues wed fri a.m p.m a.d yr ft mg ave vs ph.d m.b.a ok
    u.s u.s.a u.k u.n u.s.s.r l.a d.c n.y n.j n.c s.c j.b j.c j.j j.k j.p j.r s.a n.h n.m n.d
    ala ariz calif colo conn fla ga ill kan ky mich minn nev okla ore pa tenn va vt wash wis
    c d e f g h k l m n p r s t v w"""
)
"""Those of Punkt's that come up in answers. "e.g", "i.e" and "etc" are none of them: they end sentences."""

_OPENERS = _listed(
    """although among both but despite does even finally he her here however i if in indeed instead it many
    meanwhile moreover most nevertheless nor please similarly since so some such thank thanks the there these
    they this though through thus turn under were when which while without yes yet your"""
)
"""Words that in capitals begin a sentence even after an abbreviation: no part of names and headlines."""

_COMMON = (_OPENERS - {"i"}) | _listed(
    """a about after all also an and another any are as at because before by can do during each every first
    for from has have his how is its last let maybe more my next no not now of on once one only or other
    others our perhaps she than that their then those to until we what where who why will with would you"""
)
"""Words that in capitals begin a sentence after an initial: no names."""

_AFTER_NUMBERS = _listed(
    """business commodities corrections credit dividend financing insider international leisure letters
    notable review who"""
)
"""Words that Punkt met so often after a number that it takes "1. Review" for one name."""


def sentences(text: str) -> list[str]:
    """The sentences, in order.

    Every . ? or ! ends one before white space and more text, and before one of the characters of `_CLOSES`,
    whether or not what follows begins in capitals; line breaks end none. So a list's "1." before a word in
    capitals is a sentence, and so is what is left after the last stop: "!" of "Go!!", "**" of "**Go.**".
    No end are the full stops of abbreviations, initials and "..." (unless a word like "The" follows), and of
    numbers before small letters.
    """
    found, start = [], 0
    for end, following in _breaks(text):
        tail = _TAIL.match(text, following)
        found.append(text[start : tail.end() if tail else end].strip())
        start = tail.end() if tail else following
    return [sentence for sentence in [*found, text[start:].strip()] if sentence]


def _breaks(text: str) -> Iterator[tuple[int, int]]:
    """Where each sentence but the last ends, and where the next begins."""
    chunks = list(re.finditer(r"\S+", text))
    before = 0
    for chunk, after in zip_longest(chunks, chunks[1:]):
        opens_line = before == 0 or "\n" in text[before : chunk.start()]
        before = chunk.end()
        if after and chunk[0][-1] in ".?!":
            stopped, following, end, start = chunk[0], after[0], chunk.end(), after.start()
        elif inner := _LAST_STOP.match(chunk[0]):
            stopped, following = inner[0], chunk[0][inner.end()]
            end = start = chunk.start() + inner.end()
        else:
            continue
        if _ends(stopped, following, opens_line=opens_line):
            yield end, start


def _ends(stopped: str, following: str, *, opens_line: bool) -> bool:
    """Whether the stop that is the last character ends a sentence, given what follows up to white space."""
    if stopped[-1] != "." or _LAST_STOP.match(following):
        return True
    first = _first_word(following)
    capital = first.rstrip(".").lower() if first[0].isupper() else ""
    goes_on = first[0].islower() or first in _PUNCTUATION
    word = _WORD_BREAK.split(stopped)[-1].lstrip(_NEVER_FIRST)
    bare = word[:-1].lower()
    if _INITIAL.fullmatch(word):
        label = opens_line and len(capital) > 1 and capital.isalpha()  # "A. Red", an option of a list
        return bare not in _ABBREVIATIONS and not goes_on and (label or not capital or capital in _COMMON)
    if stopped.endswith("..") or bare in _ABBREVIATIONS or bare.rpartition("-")[2] in _ABBREVIATIONS:
        return capital in _OPENERS
    return not (_NUMBER.fullmatch(bare) and (goes_on or first.lower() in _AFTER_NUMBERS))


def _first_word(chunk: str) -> str:
    word = "" if chunk[0] in _NEVER_FIRST else _WORD_BREAK.split(chunk, maxsplit=1)[0]
    return word.rstrip(",") or chunk[0]
