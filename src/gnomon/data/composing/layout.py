"""Constraints on how an answer is laid out: bullets, sections, paragraphs, JSON, two answers in one."""

import json
import re
from random import Random

from gnomon.data.composing.draft import Draft
from gnomon.data.composing.measure import bullets, items, paragraphs, sentences, split_sentences, words
from gnomon.data.composing.steps import Step, applied
from gnomon.data.composing.titles import title
from gnomon.data.composing.wordings import NTH, Constraint, Value, listed

LONGEST_IN_JSON = 90
"""Words of a text that is put in JSON."""

SPLITTERS = ("SECTION", "Section", "PART", "Part", "PARAGRAPH", "Paragraph", "BLOCK", "Chapter")

_LEANS = re.compile(
    r"^(?:but|and|so|or|then|that|this|these|those|it|they|he|she|his|her|its|their|both|one|otherwise|however"
    r"|instead|not|neither|because|here|there|such|even|also|yes|no|only|for example)\b",
    re.I,
)
_ANSWERS_YES_OR_NO = re.compile(r"^(?:yes|no|not|only|in part|partly|usually|sometimes)\b", re.I)


def bulleted(draft: Draft, rng: Random) -> Step:
    """A bullet for every item of a list, or for every sentence where none leans on the one before."""
    points = items(draft.answer) if draft.shape == "list" else _points(draft)
    if points is None or not 1 < len(points) < 9:
        return None
    marks = bullets(draft.answer)
    mark = marks[0] if marks else "-" if "*" in draft.answer or rng.random() < 0.4 else "*"
    answer = "\n".join(f"{mark} {point}" for point in points)
    return applied(draft, answer, Constraint("bullets", {"count": len(points), "mark": mark}))


def _points(draft: Draft) -> list[str] | None:
    said = split_sentences(draft.answer)
    if draft.voice != "answer" or said is None or not all(map(_whole, said)) or any(map(_LEANS.match, said)):
        return None
    return said


def sections(draft: Draft, rng: Random) -> Step:
    """The paragraphs under headings of one word and their number."""
    parts = _parts(draft.answer, rng)
    splitter = rng.choice(SPLITTERS)
    if parts is None or re.search(rf"\b{splitter}\W*\d", draft.answer, re.I):
        return None
    labels = [f"{splitter} {number}" for number in range(1, len(parts) + 1)]
    shown = listed(labels) if len(labels) < 4 else f"{labels[0]} to {labels[-1]}"
    gap = rng.choice(("\n", "\n", "\n\n", ": "))
    answer = "\n\n".join(f"{label}{gap}{part}" for label, part in zip(labels, parts, strict=True))
    values: dict[str, Value] = {"count": len(parts), "splitter": splitter, "labels": shown}
    return applied(draft, answer, Constraint("sections", values))


def dividers(draft: Draft, rng: Random) -> Step:
    """Three asterisks between paragraphs."""
    parts = _parts(draft.answer, rng)
    if parts is None or "**" in draft.answer:
        return None
    answer = rng.choice(("\n\n***\n\n", "\n***\n")).join(parts)
    return applied(draft, answer, Constraint("dividers", {"count": len(parts)}))


def blank_lines(draft: Draft, rng: Random) -> Step:
    """A number of paragraphs, a blank line between them."""
    parts = _parts(draft.answer, rng)
    if parts is None:
        return None
    return applied(draft, "\n\n".join(parts), Constraint("paragraphs", {"count": len(parts)}))


def paragraph_opening(draft: Draft, rng: Random) -> Step:
    """A number of paragraphs, and the word that one of them begins with."""
    parts = _parts(draft.answer, rng)
    if parts is None or len(parts) > len(NTH):
        return None
    openings = [(number, re.match(r"[A-Za-z]+(?= )", part)) for number, part in enumerate(parts)]
    found = [(number, match[0]) for number, match in openings if match]
    if not found:
        return None
    number, word = rng.choice(found)
    values: dict[str, Value] = {"count": len(parts), "nth": NTH[number], "word": word}
    return applied(draft, "\n\n".join(parts), Constraint("paragraph_opening", values))


def _parts(answer: str, rng: Random) -> list[str] | None:
    """The paragraphs, or those that four sentences or more can be put in."""
    parts = paragraphs(answer)
    if len(parts) == 1:
        said = split_sentences(answer) or []
        if len(said) < 4:
            return None
        number = 2 if len(said) < 6 or rng.random() < 0.6 else 3
        bounds = [len(said) * i // number for i in range(number + 1)]
        parts = [" ".join(said[bounds[i] : bounds[i + 1]]) for i in range(number)]
    return parts if 1 < len(parts) < 7 and all(map(_whole, parts)) else None


def _whole(part: str) -> bool:
    """Whether it ends as a sentence does and no quotation runs on beyond it."""
    return sentences(part).least > 0 and part.count('"') % 2 == 0


def as_json(draft: Draft, rng: Random) -> Step:
    """The answer as the value of a key, or a list as an array, and no other text."""
    fields = _fields(draft, rng)
    if fields is None:
        return None
    answer = json.dumps(fields, ensure_ascii=False, indent=rng.choice((None, None, 2)))
    return applied(draft, answer, Constraint("json", {"keys": tuple(fields)}))


def as_json_block(draft: Draft, rng: Random) -> Step:
    """The same between the fences of a code block."""
    fields = _fields(draft, rng)
    if fields is None:
        return None
    answer = f"```json\n{json.dumps(fields, ensure_ascii=False, indent=2)}\n```"
    return applied(draft, answer, Constraint("json_block", {}))


def _fields(draft: Draft, rng: Random) -> dict[str, object] | None:
    if words(draft.answer).most > LONGEST_IN_JSON or "*" in draft.answer:
        return None
    if listing := items(draft.answer):
        return {rng.choice(("items", "list", "answers", "entries")): listing}
    single: dict[str, object] = {rng.choice(("answer", "response", "text", "reply")): draft.answer}
    asked = {"question" if draft.request.endswith("?") else "request": draft.request, "answer": draft.answer}
    choices: list[dict[str, object]] = [single, single, dict(asked)]
    if heading := title(draft.request):
        choices.append({"title": heading, "text": draft.answer})
    return rng.choice(choices)


def two_requests(draft: Draft, rng: Random) -> Step:
    """Another request beside the first, and six asterisks between the answers."""
    if draft.beside is None or "\n" in draft.request:
        return None
    request, answer = draft.beside
    asked = rng.choice(("1. {}\n2. {}", "{}\n{}", "a) {}\nb) {}", "{}\n\n{}")).format(draft.request, request)
    between = rng.choice(("\n\n******\n\n", "\n******\n"))
    return applied(draft, f"{draft.answer}{between}{answer}", Constraint("two_requests", {}), request=asked)


def short_and_full(draft: Draft, rng: Random) -> Step:
    """The first sentence, where it answers by itself, six asterisks, and the whole."""
    said = split_sentences(draft.answer)
    if said is None or len(said) < 3:
        return None
    if (
        words(said[0]).least < 7
        or _ANSWERS_YES_OR_NO.match(said[0])
        or _LEANS.match(said[0])
        or not _whole(said[0])
    ):
        return None
    between = rng.choice(("\n\n******\n\n", "\n******\n"))
    return applied(draft, f"{said[0]}{between}{draft.answer}", Constraint("short_and_full", {}))
