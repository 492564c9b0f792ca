"""Checks of an answer's lines, sentences, words and letters, and of IFEval's published kinds of instruction.

Each is a function of the text, which is not blank and has plain quotes, and of the check's fields.
"""

import re
from collections.abc import Mapping
from typing import Any

from gnomon.judges import counting
from gnomon.judges.instructions.kinds import KINDS, problem
from gnomon.judges.phrases import fold, phrase

Check = Mapping[str, Any]

_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_LEADING = re.compile(r"^[\W_]*")
_ORDINAL = re.compile(r"^[ \t]*(\d{1,3})[.)][ \t]+\S", re.M)


def within(count: int, check: Check) -> bool:
    """Whether a count lies between `min` and `max`, either of which may be missing."""
    return bool(check.get("min", 0) <= count <= check.get("max", float("inf")))


def lines(text: str, check: Check) -> bool:
    """Lines that are not blank."""
    return within(len(_lines(text)), check)


def each_line(text: str, check: Check) -> bool:
    """Every line that is not blank matches the pattern as a whole, spaces around it aside."""
    return all(re.fullmatch(check["pattern"], line) for line in _lines(text))


def acrostic(text: str, check: Check) -> bool:
    """The first letters of the lines spell the word; letter case aside."""
    value: str = check["value"]
    return "".join(_first_letter(line) for line in _lines(text)) == value.casefold()


def ordered(text: str, check: Check) -> bool:
    """Lines numbered 1, 2, 3 and so on without a gap: so many of them."""
    found = [int(number) for number in _ORDINAL.findall(text)]
    return found == list(range(1, len(found) + 1)) and within(len(found), check)


def occurrences(text: str, check: Check) -> bool:
    """How often a word or phrase stands there as a whole."""
    return within(len(phrase(check["value"]).findall(fold(text))), check)


def in_order(text: str, check: Check) -> bool:
    """Every value is there as a whole word, the first of each before the first of the next."""
    places = [phrase(value).search(fold(text)) for value in check["values"]]
    starts = [place.start() for place in places if place]
    return len(starts) == len(places) and starts == sorted(set(starts))


def initials(text: str, check: Check) -> bool:
    """Words that begin with the letter; letter case aside."""
    return within(sum(word[0].casefold() == check["value"].casefold() for word in _WORD.findall(text)), check)


def word_letters(text: str, check: Check) -> bool:
    """Letters of the longest word; the parts of a hyphenated one count each for itself."""
    parts = [part for word in _WORD.findall(text) for part in word.split("-")]
    longest = max((sum(c.isalpha() for c in part) for part in parts), default=0)
    return longest > 0 and within(longest, check)


def sentence_words(text: str, check: Check) -> bool:
    """Words of every single sentence."""
    found = counting.sentences(text)
    return bool(found) and all(within(counting.words(sentence), check) for sentence in found)


def questions(text: str, check: Check) -> bool:
    """Sentences that end with a question mark."""
    ends = (sentence.rstrip("\"')*_] ") for sentence in counting.sentences(text))
    return within(sum(end.endswith("?") for end in ends), check)


def openings_differ(text: str, check: Check) -> bool:
    """No two sentences begin with the same word, and there are `min` of them or more."""
    openings = [word[0].casefold() for word in map(_WORD.search, counting.sentences(text)) if word]
    return len(openings) == len(set(openings)) and len(openings) >= check["min"]


def instruction(text: str, check: Check) -> bool:
    """One of IFEval's kinds, by its published id, strictly; ConfigError where it needs langdetect."""
    return KINDS[check["id"]].follows(text, **check.get("kwargs", {}))


def instruction_problem(check: Check) -> str | None:
    """What is wrong with a check of that kind; None where it can be run."""
    return problem(check.get("id"), check.get("kwargs", {}))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _first_letter(line: str) -> str:
    return _LEADING.sub("", line)[:1].casefold()
