"""Words, tokens and parts of a response, as the published checkers take them."""

import re

_TOKEN_BREAK = re.compile(r"""[\s"`«»“”‘’„;@#$%&?!*()\[\]{}<>\u2012-\u2015]|[:,](?!\d)|\.{2,}|--""")
_CLITIC = re.compile(
    r"(?<=[^'])(?='(?:S|M|D|LL|RE|VE)$)|(?<=[^'])(?=N'T$)"
    r"|(?<=^CAN)(?=NOT$)|(?<=^GON|^WAN)(?=NA$)|(?<=^GOT)(?=TA$)|(?<=^GIM|^LEM)(?=ME$)",
    re.I,
)


def words(text: str) -> list[str]:
    """The runs of letters, digits and underscores: "it's" is two, "3.5" as well.

    Marks of their own (an accent that is not one character with its letter, Hindi's vowels) part words too.
    """
    return re.findall(r"\w+", text)


def tokens(text: str) -> list[str]:
    """The words as the Penn Treebank parts them: hyphens hold together, "DON'T" is "DO" and "N'T"."""
    pieces = (piece.rstrip(".") for piece in _TOKEN_BREAK.split(text))
    return [token for piece in pieces for token in _CLITIC.split(piece) if token]


def parted(text: str, divider: re.Pattern[str]) -> list[str] | None:
    """The parts between dividers, but a blank first or last one; None where one in between is blank."""
    parts = divider.split(text)
    if not all(part.strip() for part in parts[1:-1]):
        return None
    return [part for part in parts if part.strip()]
