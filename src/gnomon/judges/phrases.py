"""Texts as checks see them: case, kinds of quotes, spaces and how accents are encoded make no difference."""

import re
import unicodedata
from functools import lru_cache

_PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "−": "-", "\u00a0": " "})


def plain(text: str) -> str:
    """The text with straight quotes, plain minuses and spaces, and one encoding of accents (NFC)."""
    return unicodedata.normalize("NFC", text).translate(_PLAIN)


def fold(text: str) -> str:
    """The plain text in one case, on one line, with single spaces."""
    return re.sub(r"\s+", " ", plain(text)).strip().casefold()


@lru_cache(maxsize=4096)
def phrase(value: str) -> re.Pattern[str]:
    """A phrase of a folded text, between word edges; a number is never part of a longer one (no 10 in 10,000
    or 10.5)."""
    folded = fold(value)
    return re.compile(f"{edge(folded[0], before=True)}{re.escape(folded)}{edge(folded[-1])}")


def edge(character: str, *, before: bool = False) -> str:
    """The pattern of where a phrase may begin (`before`) or end that has this character there."""
    if character.isdigit():
        return r"(?<!\w)(?<!\d\.)(?<!\d,)" if before else r"(?!\w)(?!\.\d)(?!,\d{3}(?!\d))"
    if character.isalnum():
        return r"(?<!\w)" if before else r"(?!\w)"
    return ""
