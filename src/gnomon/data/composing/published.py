"""Which published kind of instruction a kind of constraint is, and which of these nothing practises."""

from collections.abc import Mapping
from typing import Literal

Choice = Literal["all", "practised"]

PUBLISHED: Mapping[str, str] = {
    "no_commas": "punctuation:no_comma",
    "lower_case": "change_case:english_lowercase",
    "capitals": "change_case:english_capital",
    "capital_words_at_least": "change_case:capital_word_frequency",
    "capital_words_at_most": "change_case:capital_word_frequency",
    "quotation": "startend:quotation",
    "closing": "startend:end_checker",
    "title": "detectable_format:title",
    "highlights": "detectable_format:number_highlighted_sections",
    "bullets": "detectable_format:number_bullet_lists",
    "sections": "detectable_format:multiple_sections",
    "json": "detectable_format:json_format",
    "json_block": "detectable_format:json_format",
    "options": "detectable_format:constrained_response",
    "placeholders": "detectable_content:number_placeholders",
    "postscript": "detectable_content:postscript",
    "dividers": "length_constraints:number_paragraphs",
    "paragraphs": "length_constraints:number_paragraphs",
    "paragraph_opening": "length_constraints:nth_paragraph_first_word",
    "words_at_least": "length_constraints:number_words",
    "words_at_most": "length_constraints:number_words",
    "words_less_than": "length_constraints:number_words",
    "words_around": "length_constraints:number_words",
    "words_between": "length_constraints:number_words",
    "sentences_at_least": "length_constraints:number_sentences",
    "sentences_at_most": "length_constraints:number_sentences",
    "sentences_less_than": "length_constraints:number_sentences",
    "sentences_exactly": "length_constraints:number_sentences",
    "keywords": "keywords:existence",
    "keyword_at_least": "keywords:frequency",
    "keyword_less_than": "keywords:frequency",
    "forbidden": "keywords:forbidden_words",
    "letter_at_least": "keywords:letter_frequency",
    "letter_at_most": "keywords:letter_frequency",
    "letter_less_than": "keywords:letter_frequency",
    "two_requests": "combination:two_responses",
    "short_and_full": "combination:two_responses",
    "repeat": "combination:repeat_prompt",
    "language": "language:response_language",
}
"""The 25 kinds of arXiv:2311.07911, by what we call the constraints that are of each."""

HELD_OUT = frozenset(
    (
        "keywords:letter_frequency",
        "language:response_language",
        "length_constraints:number_paragraphs",
        "detectable_content:postscript",
        "detectable_format:title",
        "combination:repeat_prompt",
        "startend:quotation",
        "change_case:english_capital",
    )
)
"""What a policy that practises the other 17 is asked without having met it: one kind of every group, but of
punctuation, which has a single one.

Of each group the one that leans least on a practised kind, as far as there is a choice: quotation marks round
the whole, a title, a postscript and dividers are forms of their own. Two could not be practised well: a copy
of the prompt is what the rules of form forbid, and other languages are not what our prompts are written in.
"""


def practised(kind: str) -> bool:
    """Whether a kind of constraint, by our name, is none of those that are held out."""
    return PUBLISHED.get(kind) not in HELD_OUT
