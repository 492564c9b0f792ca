"""Checks a program can make of an answer: what it contains, how long it is, how it is laid out."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gnomon.errors import DataError
from gnomon.judges import counting, parts
from gnomon.judges.parts import within
from gnomon.judges.phrases import edge, fold, phrase, plain

Check = Mapping[str, Any]

_FENCE = re.compile(r"```[\w-]*[ \t]*\n(.*?)\n?[ \t]*```", re.S)
_NUMBER = re.compile(
    r"(?:(?<!\w)(?<!\d[.,])-)?(?<![A-Za-z_\d])(?<!\d[.,])(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
)
_NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"),
    *("twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
_NUMBER_WORD = re.compile(rf"(?<![\w-])({'|'.join(_NUMBER_WORDS)})(?![\w-])")


def run_checks(answer: str, checks: Sequence[Check]) -> tuple[bool, ...]:
    """Whether the answer passes each check, in order; a blank answer passes none.

    Comparison ignores case, kinds of quotes and how accents are encoded. DataError on checks that
    `validate_checks` refuses.
    """
    validate_checks(checks)
    text = plain(answer).strip()
    return tuple(bool(text) and KINDS[check["kind"]].passes(text, check) for check in checks)


def validate_checks(checks: Sequence[Check]) -> None:
    """Refuse, by DataError, unknown kinds, missing, unknown or misshapen fields."""
    for position, check in enumerate(checks):
        problem = _problem(check)
        if problem:
            raise DataError(f"check {position + 1} of {len(checks)}: {check.get('kind')!r} {problem}")


def _problem(check: Check) -> str | None:
    kind = KINDS.get(str(check.get("kind")))
    if kind is None:
        return f"is not a kind of check; known are {', '.join(KINDS)}"
    missing = kind.required - check.keys()
    if missing:
        return f"needs {', '.join(sorted(missing))}"
    for field in check.keys() - {"kind"}:
        if field not in kind.fields or not kind.fields[field](check[field]):
            return f"cannot use {field} = {check[field]!r}; its fields are {', '.join(kind.fields)}"
    if {"min", "max"} <= kind.fields.keys() and not check.keys() & {"min", "max"}:
        return "needs min or max, or both"
    if check["kind"] == "instruction":
        return parts.instruction_problem(check)
    return "has min above max" if check.get("min", 0) > check.get("max", float("inf")) else None


def _contains_any(text: str, check: Check) -> bool:
    return any(_holds(text, value) for value in check["values"])


def _contains_all(text: str, check: Check) -> bool:
    return all(_holds(text, value) for value in check["values"])


def _contains_one(text: str, check: Check) -> bool:
    return sum(_holds(text, value) for value in check["values"]) == 1


def _excludes(text: str, check: Check) -> bool:
    return not _contains_any(text, check)


def _equals_any(text: str, check: Check) -> bool:
    found = _bare(text)
    number = _as_number(found)
    return any(
        found == _bare(value) or (number is not None and number == _as_number(_bare(value)))
        for value in check["values"]
    )


def _number(text: str, check: Check) -> bool:
    """The first or the last number, so that "54, since 9 x 6 = 54" and "9 x 6 = 54" pass; with `any`, any."""
    found = [float(n.replace(",", "")) for n in _NUMBER.findall(_with_digits(text))]
    considered = found if check.get("any") else found[:1] + found[-1:]
    return float(check["value"]) in considered


def _words(text: str, check: Check) -> bool:
    return within(counting.words(text), check)


def _sentences(text: str, check: Check) -> bool:
    return within(len(counting.sentences(text)), check)


def _bullets(text: str, check: Check) -> bool:
    return within(counting.bullets(text), check)


def _numbered(text: str, check: Check) -> bool:
    return within(counting.numbered(text), check)


def _items(text: str, check: Check) -> bool:
    return within(len(counting.items(text)), check)


def _json(text: str, check: Check) -> bool:
    """The answer, or its one fenced block, is JSON; with `keys`, an object with these keys and no others."""
    blocks = _FENCE.findall(text)
    try:
        value = json.loads(blocks[0] if len(blocks) == 1 else text)
    except (ValueError, RecursionError):  # the latter where brackets are opened by the thousand
        return False
    return "keys" not in check or (isinstance(value, dict) and value.keys() == set(check["keys"]))


def _starts_with(text: str, check: Check) -> bool:
    value = fold(check["value"])
    return re.match(rf"[\"'*_`#> ]*{re.escape(value)}{edge(value[-1])}", fold(text)) is not None


def _ends_with(text: str, check: Check) -> bool:
    """Emphasis, quotes and brackets may follow, and a full stop or the like where the value is a word."""
    value = fold(check["value"])
    stops = ".!?…" if value[-1].isalnum() else ""
    ending = rf"{edge(value[0], before=True)}{re.escape(value)}[{stops}\"'*_`) ]*$"
    return re.search(ending, fold(text)) is not None


def _case(text: str, check: Check) -> bool:
    return text.islower() if check["value"] == "lower" else text.isupper()


def _regex(text: str, check: Check) -> bool:
    return re.search(check["pattern"], text) is not None


def _bare(text: str) -> str:
    """Folded, without code fences, Markdown emphasis, surrounding quotes and final punctuation."""
    inside = _FENCE.fullmatch(text.strip())
    return fold(inside[1] if inside else text).strip("\"'*_` ").rstrip(".,;:! ").strip("\"'*_` ")


def _holds(text: str, value: str) -> bool:
    return phrase(value).search(fold(text)) is not None


def _with_digits(text: str) -> str:
    return _NUMBER_WORD.sub(lambda match: str(_NUMBER_WORDS.index(match[1])), fold(text))


def _as_number(bare: str) -> float | None:
    """The value of a text that is one number and nothing else but a currency sign."""
    digits = _with_digits(bare).strip("$€£¥ ")
    return float(digits.replace(",", "")) if _NUMBER.fullmatch(digits) else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(_is_text(v) for v in value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_case(value: Any) -> bool:
    return value in ("lower", "upper")


def _is_letter(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 1 and value.isalpha()


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.isalpha()


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_pattern(value: Any) -> bool:
    try:
        re.compile(value)
    except (TypeError, re.error):
        return False
    return True


class Kind(NamedTuple):
    """A kind of check: the function, what each field must look like, and the fields it cannot do without."""

    passes: Callable[[str, Check], bool]
    fields: Mapping[str, Callable[[Any], bool]]
    required: frozenset[str]


def _kind(passes: Callable[[str, Check], bool], *optional: str, **fields: Callable[[Any], bool]) -> Kind:
    return Kind(passes, fields, frozenset(fields) - set(optional))


KINDS: Mapping[str, Kind] = {
    "contains_any": _kind(_contains_any, values=_is_texts),
    "contains_all": _kind(_contains_all, values=_is_texts),
    "contains_one": _kind(_contains_one, values=_is_texts),
    "in_order": _kind(parts.in_order, values=_is_texts),
    "excludes": _kind(_excludes, values=_is_texts),
    "equals_any": _kind(_equals_any, values=_is_texts),
    "number": _kind(_number, "any", value=_is_number, any=_is_flag),
    "words": _kind(_words, "min", "max", min=_is_count, max=_is_count),
    "sentences": _kind(_sentences, "min", "max", min=_is_count, max=_is_count),
    "bullets": _kind(_bullets, "min", "max", min=_is_count, max=_is_count),
    "numbered": _kind(_numbered, "min", "max", min=_is_count, max=_is_count),
    "items": _kind(_items, "min", "max", min=_is_count, max=_is_count),
    "json": _kind(_json, "keys", keys=_is_texts),
    "starts_with": _kind(_starts_with, value=_is_text),
    "ends_with": _kind(_ends_with, value=_is_text),
    "case": _kind(_case, value=_is_case),
    "regex": _kind(_regex, pattern=_is_pattern),
    "lines": _kind(parts.lines, "min", "max", min=_is_count, max=_is_count),
    "each_line": _kind(parts.each_line, pattern=_is_pattern),
    "acrostic": _kind(parts.acrostic, value=_is_word),
    "ordered": _kind(parts.ordered, "min", "max", min=_is_count, max=_is_count),
    "occurrences": _kind(parts.occurrences, "min", "max", value=_is_text, min=_is_count, max=_is_count),
    "initials": _kind(parts.initials, "min", "max", value=_is_letter, min=_is_count, max=_is_count),
    "word_letters": _kind(parts.word_letters, "min", "max", min=_is_count, max=_is_count),
    "sentence_words": _kind(parts.sentence_words, "min", "max", min=_is_count, max=_is_count),
    "questions": _kind(parts.questions, "min", "max", min=_is_count, max=_is_count),
    "openings_differ": _kind(parts.openings_differ, min=_is_count),
    "instruction": _kind(parts.instruction, "kwargs", id=_is_text, kwargs=_is_mapping),
}
