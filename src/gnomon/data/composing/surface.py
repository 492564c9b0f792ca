"""Constraints on letters, marks and single words, and answers changed to obey them."""

import re
from itertools import pairwise
from random import Random

from gnomon.data.composing.draft import Draft
from gnomon.data.composing.measure import telling, words
from gnomon.data.composing.steps import Step, applied
from gnomon.data.composing.wordings import Constraint

LONGEST_IN_CAPITALS = 120
"""Words: capitals take several tokens each and tire the reader."""

_JOINED = re.compile(
    r"(?<=[^\W\d]),(?= (?:and|but|or|so|because|while|until|unless|whereas|although|since|yet)\b)"
)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_GREETING = re.compile(r"(?<=\w),$(?=\n|\Z)", re.M)
_OPENS_LATE = re.compile(
    r"(?:^|[.!?:][\"')]* +|\n)((?:first|then|next|finally|today|tomorrow|yesterday|now|later|afterwards"
    r"|meanwhile|here|there|sometimes|often|usually|(?:in|on|at|after|before|by|during|from|since|for) "
    r"(?:the |a |an |about |those )?\w+(?: (?:of )?\w+)?)),(?= \w)",
    re.I,
)
_ITEM = r"([\w'-]+(?: [\w'-]+){0,2})"
_SERIES = re.compile(rf"^{_ITEM}, {_ITEM} and {_ITEM}\.?$")
_PHRASE = re.compile(r"(?<![\w*'-])[a-z]{4,}(?: [a-z]{4,}){0,2}(?![\w*'-])")
_WORD = re.compile(r"(?<![\w*'-])[a-z]{5,}(?![\w*'-])")
_OPENING = re.compile(r"(?:^|\n)[ \t]*(?:[-*][ \t]+|\d{1,2}[.)][ \t]+)?$")


def lower_case(draft: Draft, _: Random) -> Step:
    """No capital letters, where there are letters at all."""
    if draft.answer.lower() == draft.answer.upper():
        return None
    return applied(draft, draft.answer.lower(), Constraint("lower_case", {}))


def capitals(draft: Draft, _: Random) -> Step:
    """No lower-case letters, where there are letters and not too many of them."""
    if words(draft.answer).most > LONGEST_IN_CAPITALS or draft.answer.lower() == draft.answer.upper():
        return None
    return applied(draft, draft.answer.upper(), Constraint("capitals", {}))


def no_commas(draft: Draft, _: Random) -> Step:
    """No commas, where none is there or none is missed."""
    answer = without_commas(_GREETING.sub("", draft.answer) if draft.shape == "letter" else draft.answer)
    return None if answer is None else applied(draft, answer, Constraint("no_commas", {}))


def without_commas(text: str) -> str | None:
    """The text without its commas; None where one of them holds a sentence together."""
    text = _THOUSANDS.sub("", text)
    if _SERIES.match(text):
        text = text.replace(",", " and")
    text = _OPENS_LATE.sub(lambda match: match[0].removesuffix(","), text)
    text = _JOINED.sub("", text)
    return None if "," in text else text


def quotation(draft: Draft, _: Random) -> Step:
    """All of it in double quotation marks; those within become single ones."""
    answer = draft.answer
    inner = answer.count('"')
    if inner == 2 and answer.startswith('"') and answer.endswith('"'):
        return applied(draft, answer, Constraint("quotation", {}))
    if inner % 2 or (inner and re.search(r"(?<=\w)'(?!\w)|(?<!\w)'(?=\w)", answer)):
        return None
    return applied(draft, '"' + answer.replace('"', "'") + '"', Constraint("quotation", {}))


def highlights(draft: Draft, rng: Random) -> Step:
    """One to five phrases between asterisks, none at the beginning of a line, where they would be bullets."""
    if "*" in draft.answer:
        return None
    spans = [match.span() for match in _PHRASE.finditer(draft.answer) if _stands_out(draft.answer, match)]
    number = min(len(spans), rng.choice((1, 2, 2, 3, 3, 4, 5)), 1 + words(draft.answer).least // 8)
    if not number:
        return None
    answer = draft.answer
    for start, end in sorted(_spread(spans, number, rng), reverse=True):
        answer = f"{answer[:start]}*{answer[start:end]}*{answer[end:]}"
    return applied(
        draft, answer, Constraint("highlights", {"count": number - (number > 2 and rng.random() < 0.3)})
    )


def _stands_out(text: str, match: re.Match[str]) -> bool:
    """Whether every word of a phrase says something, it is more than a short one, and it opens no line."""
    said = match[0].lower().split()
    return (
        len(match[0]) > 5 and telling(" ".join(said)) == said and not _OPENING.search(text[: match.start()])
    )


def capital_words_at_least(draft: Draft, rng: Random) -> Step:
    """One to four telling words written in capitals."""
    spans = [match.span() for match in _WORD.finditer(draft.answer) if telling(match[0])]
    number = min(len(spans), rng.randint(1, 4), 1 + words(draft.answer).least // 10)
    if not number:
        return None
    answer = draft.answer
    for start, end in _spread(spans, number, rng):
        answer = answer[:start] + answer[start:end].upper() + answer[end:]
    return applied(draft, answer, Constraint("capital_words_at_least", {"count": number}))


def _spread(spans: list[tuple[int, int]], number: int, rng: Random) -> list[tuple[int, int]]:
    """So many of the spans, one from each of as many equal parts of them."""
    bounds = [len(spans) * i // number for i in range(number + 1)]
    return [spans[rng.randrange(low, high)] for low, high in pairwise(bounds)]
