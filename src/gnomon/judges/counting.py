"""Words, sentences, bullets and items of a text, counted the way a fair reader would."""

import re

_MARKER = re.compile(r"^[ \t]*(?:[-*+•·◦▪–][ \t]+|(?:step[ \t]+)?\(?\d{1,2}[.):](?=\s|$)[ \t]*)", re.I | re.M)
_BULLET = re.compile(r"^[ \t]*[-*+•·◦▪–][ \t]+\S", re.M)
_NUMBER_LINE = re.compile(r"^[ \t]*\**(?:step[ \t]+)?\(?\d{1,2}[.):](?:\s|\*)", re.I | re.M)
_NUMBER_INLINE = re.compile(r"(?:^|\s)\(?(\d{1,2})[.)](?=\s)")
_SENTENCE_END = re.compile(
    r"""(?<=[.!?…])["'”’)\]*]*\s+|\n\s*\n|\n(?=[ \t]*(?:[-*+•·◦▪–]|\(?\d{1,2}[.)])[ \t])"""
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'])(?:(?i:mrs?|ms|dr|prof|st|jr|sr|vs|e\.g|i\.e|a\.m|p\.m|approx)|[A-Z])\.$"
)
_ITEM_BREAK = re.compile(r"\s*[,;]\s*(?:(?:and|or|&)\s+)?|\s+(?:and|or|&)\s+", re.I)


def words(text: str) -> int:
    """Words that hold a letter or a digit; list markers are not words, and a hyphenated word is one."""
    return sum(any(c.isalnum() for c in word) for word in re.split(r"[\s—–]+|--+", _MARKER.sub("", text)))


def sentences(text: str) -> list[str]:
    """The sentences, in order.

    They end at . ! ? before a space, at a blank line and before a list item; not after usual abbreviations,
    initials, or dots of which the sentence goes on in lower case. A last one without a full stop counts.
    """
    parts: list[str] = []
    for piece in map(str.strip, _SENTENCE_END.split(text)):
        goes_on = parts and (
            _ABBREVIATION.search(parts[-1]) or (parts[-1].endswith(("...", "…")) and piece[:1].islower())
        )
        if goes_on:
            parts[-1] = f"{parts[-1]} {piece}"
        else:
            parts.append(piece)
    return [part for part in (_MARKER.sub("", p).strip() for p in parts) if any(c.isalnum() for c in part)]


def bullets(text: str) -> int:
    """Lines that begin with a bullet and hold something."""
    return len(_BULLET.findall(text))


def numbered(text: str) -> int:
    """Numbered points: lines that begin with a number, or 1. 2. 3. one after the other within a line."""
    lines = len(_NUMBER_LINE.findall(text))
    if lines > 1:
        return lines
    count = 0
    for match in _NUMBER_INLINE.finditer(text):
        count += int(match[1]) == count + 1
    return max(lines, count)


def items(text: str) -> list[str]:
    """The items of a list: one per line, or else separated by commas, semicolons, "and" or "or".

    A first line that ends with a colon announces the list and is no item.
    """
    lines = [line for line in text.splitlines() if any(c.isalnum() for c in line)]
    if len(lines) > 1 and lines[0].rstrip().endswith(":"):
        lines = lines[1:]
    bare = [_MARKER.sub("", line).strip() for line in lines]
    if len(bare) == 1:
        bare = _ITEM_BREAK.split(bare[0].partition(": ")[2] or bare[0])
    return [item for item in bare if any(c.isalnum() for c in item)]
