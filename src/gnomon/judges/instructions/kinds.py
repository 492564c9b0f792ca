"""The 25 kinds of instruction by their published ids, and what their kwargs must look like."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_args

from gnomon.judges.instructions import case, edges, keywords, languages, layout, lengths, punctuation
from gnomon.judges.instructions.relations import Relation


class Kind(NamedTuple):
    """A function of the response and of kwargs, and what each of these, none of which may lack, must be."""

    follows: Callable[..., bool]
    kwargs: Mapping[str, Callable[[Any], bool]]


def problem(id: object, kwargs: object) -> str | None:
    """What is wrong with an instruction, to be read after its id; None where it can be checked."""
    kind = KINDS.get(id) if isinstance(id, str) else None
    if kind is None:
        return f"is not a kind of instruction; known are {', '.join(KINDS)}"
    if not isinstance(kwargs, Mapping):
        return f"has {kwargs!r} for kwargs; they must be values by name"
    missing = kind.kwargs.keys() - kwargs.keys()
    if missing:
        return f"needs {', '.join(sorted(missing))}"
    for name, value in kwargs.items():
        if name not in kind.kwargs or not kind.kwargs[name](value):
            return f"cannot use {name} = {value!r}; its kwargs are {', '.join(kind.kwargs) or 'none'}"
    if kwargs.get("nth_paragraph", 0) > kwargs.get("num_paragraphs", 0):
        return "has nth_paragraph above num_paragraphs"
    return None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(_is_text(v) for v in value)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and len(value.split()) == 1


def _is_character(value: object) -> bool:
    return isinstance(value, str) and len(value.strip()) == 1


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_position(value: object) -> bool:
    return _is_count(value) and value != 0


def _is_relation(value: object) -> bool:
    return value in get_args(Relation)


def _is_language(value: object) -> bool:
    return isinstance(value, str) and value in languages.CODES


def _kind(follows: Callable[..., bool], **kwargs: Callable[[Any], bool]) -> Kind:
    return Kind(follows, kwargs)


KINDS: Mapping[str, Kind] = {
    "keywords:existence": _kind(keywords.existence, keywords=_is_texts),
    "keywords:frequency": _kind(
        keywords.frequency, keyword=_is_text, frequency=_is_count, relation=_is_relation
    ),
    "keywords:forbidden_words": _kind(keywords.forbidden_words, forbidden_words=_is_texts),
    "keywords:letter_frequency": _kind(
        keywords.letter_frequency, letter=_is_character, let_frequency=_is_count, let_relation=_is_relation
    ),
    "language:response_language": _kind(languages.response_language, language=_is_language),
    "length_constraints:number_sentences": _kind(
        lengths.number_sentences, num_sentences=_is_count, relation=_is_relation
    ),
    "length_constraints:number_paragraphs": _kind(lengths.number_paragraphs, num_paragraphs=_is_count),
    "length_constraints:number_words": _kind(
        lengths.number_words, num_words=_is_count, relation=_is_relation
    ),
    "length_constraints:nth_paragraph_first_word": _kind(
        lengths.nth_paragraph_first_word,
        num_paragraphs=_is_count,
        nth_paragraph=_is_position,
        first_word=_is_word,
    ),
    "detectable_content:number_placeholders": _kind(layout.number_placeholders, num_placeholders=_is_count),
    "detectable_content:postscript": _kind(layout.postscript, postscript_marker=_is_text),
    "detectable_format:number_bullet_lists": _kind(layout.number_bullet_lists, num_bullets=_is_count),
    "detectable_format:constrained_response": _kind(layout.constrained_response),
    "detectable_format:number_highlighted_sections": _kind(
        layout.number_highlighted_sections, num_highlights=_is_count
    ),
    "detectable_format:multiple_sections": _kind(
        layout.multiple_sections, section_spliter=_is_text, num_sections=_is_count
    ),
    "detectable_format:json_format": _kind(layout.json_format),
    "detectable_format:title": _kind(layout.title),
    "combination:two_responses": _kind(layout.two_responses),
    "combination:repeat_prompt": _kind(edges.repeat_prompt, prompt_to_repeat=_is_text),
    "startend:end_checker": _kind(edges.end_checker, end_phrase=_is_text),
    "startend:quotation": _kind(edges.quotation),
    "change_case:capital_word_frequency": _kind(
        case.capital_word_frequency, capital_frequency=_is_count, capital_relation=_is_relation
    ),
    "change_case:english_capital": _kind(case.english_capital),
    "change_case:english_lowercase": _kind(case.english_lowercase),
    "punctuation:no_comma": _kind(punctuation.no_comma),
}
