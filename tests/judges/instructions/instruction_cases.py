"""Responses that follow an instruction of each kind, and such that do not: judged by hand."""

from typing import Any, NamedTuple


class Case(NamedTuple):
    """Whether the response follows the instruction with these kwargs."""

    follows: bool
    response: str
    kwargs: dict[str, Any]


def _asked(**kwargs: Any) -> dict[str, Any]:
    return kwargs


_AT_LEAST, _LESS = "at least", "less than"
_RIVER = _asked(keywords=["river", "land"])
_WAR = _asked(keyword="war", frequency=2, relation=_AT_LEAST)
_NO_WAR = _asked(keyword="war", frequency=2, relation=_LESS)
_DIE = _asked(forbidden_words=["die", "yes"])
_Q = _asked(letter="q", let_frequency=2, let_relation=_AT_LEAST)
_FEW_E = _asked(letter="E", let_frequency=2, let_relation=_LESS)
_THREE_SENTENCES = _asked(num_sentences=3, relation=_AT_LEAST)
_BELOW_THREE = _asked(num_sentences=3, relation=_LESS)
_TWO_PARAGRAPHS = _asked(num_paragraphs=2)
_FIVE_WORDS = _asked(num_words=5, relation=_AT_LEAST)
_BELOW_FIVE = _asked(num_words=5, relation=_LESS)
_SECOND_IS_ELM = _asked(num_paragraphs=2, nth_paragraph=2, first_word="elm")
_TWO_PLACES = _asked(num_placeholders=2)
_PS, _PPS = _asked(postscript_marker="P.S."), _asked(postscript_marker="P.P.S")
_TWO_BULLETS = _asked(num_bullets=2)
_TWO_HIGHLIGHTS = _asked(num_highlights=2)
_TWO_SECTIONS = _asked(section_spliter="SECTION", num_sections=2)
_REPEAT = _asked(prompt_to_repeat="Write a haiku about Rome.")
_BYE = _asked(end_phrase="Is there anything else I can help with?")
_TWO_CAPITALS = _asked(capital_frequency=2, capital_relation=_AT_LEAST)
_BELOW_TWO_CAPITALS = _asked(capital_frequency=2, capital_relation=_LESS)
_GERMAN, _HINDI, _FRENCH = _asked(language="de"), _asked(language="hi"), _asked(language="fr")

_ENGLISH_TEXT = (
    "the old house at the end of the street has been empty since the family moved away last summer."
)
_FRENCH_TEXT = "la vieille maison au bout de la rue est vide depuis que la famille est partie l'été dernier."
_GERMAN_TEXT = (
    "Das alte Haus am Ende der Straße steht leer, seit die Familie im letzten Sommer weggezogen ist."
)
_HINDI_TEXT = "सड़क के अंत में पुराना घर पिछली गर्मियों से खाली है क्योंकि परिवार चला गया था।"

CASES: dict[str, list[Case]] = {
    "keywords:existence": [
        Case(True, "Where the river meets the land.", _RIVER),
        Case(True, "RIVER, Land", _RIVER),
        Case(True, "Driverless landing", _RIVER),  # as parts of longer words, too
        Case(True, "I like C++.", _asked(keywords=["c++"])),
        Case(False, "A river.", _RIVER),
        Case(False, "A riv er and land", _RIVER),
        Case(False, "I like C.", _asked(keywords=["c++"])),
    ],
    "keywords:frequency": [
        Case(True, "War, and war again.", _WAR),
        Case(True, "A warm reward", _WAR),
        Case(True, "One war.", _NO_WAR),
        Case(True, "Peace.", _NO_WAR),
        Case(False, "One war.", _WAR),
        Case(False, "Waaar", _WAR),
        Case(False, "War, and war again.", _NO_WAR),
    ],
    "keywords:forbidden_words": [
        Case(True, "A soldier said yesterday.", _DIE),
        Case(True, "died", _DIE),
        Case(True, "No.", _DIE),
        Case(False, "They die.", _DIE),
        Case(False, "YES!", _DIE),
        Case(False, "die-hard", _DIE),
        Case(False, "Use C++ here.", _asked(forbidden_words=["c++"])),
    ],
    "keywords:letter_frequency": [
        Case(True, "Quite a quiz", _Q),
        Case(True, "qq", _Q),
        Case(True, "One", _FEW_E),
        Case(True, "# one\n# two", _asked(letter="#", let_frequency=2, let_relation=_AT_LEAST)),
        Case(False, "A quiz", _Q),
        Case(False, "Eve", _FEW_E),
        Case(False, "none at all", _Q),
    ],
    "language:response_language": [
        Case(True, _GERMAN_TEXT, _GERMAN),
        Case(True, _HINDI_TEXT, _HINDI),
        Case(True, _FRENCH_TEXT, _FRENCH),
        Case(True, "12 + 30 = 42", _GERMAN),  # nothing tells the language
        Case(False, _ENGLISH_TEXT, _GERMAN),
        Case(False, _GERMAN_TEXT, _HINDI),
        Case(False, _HINDI_TEXT, _FRENCH),
    ],
    "length_constraints:number_sentences": [
        Case(True, "One. Two! Three?", _THREE_SENTENCES),
        Case(True, "one. two. three.", _THREE_SENTENCES),
        Case(True, "Mr. Brown came at 5 p.m. and left. So did I.", _BELOW_THREE),
        Case(True, "No stop\nno stop\nno stop", _BELOW_THREE),
        Case(True, "1. Wet it.\n2. Dry it.", _THREE_SENTENCES),  # "1." is one by itself
        Case(False, "One, two, three", _THREE_SENTENCES),
        Case(False, "It cost 3.50 at J. K. Rowling's shop. Well... that is all", _THREE_SENTENCES),
        Case(False, "“One.” “Two.” “Three.”", _BELOW_THREE),
    ],
    "length_constraints:number_paragraphs": [
        Case(True, "One.\n***\nTwo.", _TWO_PARAGRAPHS),
        Case(True, "***\nOne.\n***\nTwo.\n***", _TWO_PARAGRAPHS),
        Case(True, "One *** two", _TWO_PARAGRAPHS),
        Case(False, "One.\n\nTwo.", _TWO_PARAGRAPHS),
        Case(False, "One.\n***\n\n***\nTwo.", _TWO_PARAGRAPHS),
        Case(False, "One.\n***\nTwo.\n***\nThree.", _TWO_PARAGRAPHS),
        Case(False, "One.\n* * *\nTwo.", _TWO_PARAGRAPHS),
        Case(False, "One.\n**\nTwo.", _TWO_PARAGRAPHS),
    ],
    "length_constraints:number_words": [
        Case(True, "one two three four five", _FIVE_WORDS),
        Case(True, "It's a well-known tree", _FIVE_WORDS),  # it s a well known tree
        Case(True, "one two three four", _BELOW_FIVE),
        Case(True, "一二三四五六七", _BELOW_FIVE),  # no white space, one word
        Case(False, "one - two - three - four", _FIVE_WORDS),
        Case(False, "naïve café", _FIVE_WORDS),
        Case(False, "1.5 2.5 3", _BELOW_FIVE),
    ],
    "length_constraints:nth_paragraph_first_word": [
        Case(True, "An oak.\n\nElm trees grow.", _SECOND_IS_ELM),
        Case(True, 'An oak.\n\n"Elm," he said.\nStill the second.', _SECOND_IS_ELM),
        Case(True, "An oak.\n\n  ELM!\n\n", _SECOND_IS_ELM),
        Case(False, "An oak.\n\nElms grow.", _SECOND_IS_ELM),
        Case(False, "An oak.\n\nElm trees.\n\nAsh.", _SECOND_IS_ELM),
        Case(False, "An oak.\nElm trees.", _SECOND_IS_ELM),
        Case(False, "An oak.\n\n\n\nElm trees.", _SECOND_IS_ELM),  # a blank one is the second
        Case(False, "An oak.\n\n**Elm** trees.", _SECOND_IS_ELM),
    ],
    "detectable_content:number_placeholders": [
        Case(True, "[name], [address]", _TWO_PLACES),
        Case(True, "[one][two][three]", _TWO_PLACES),
        Case(True, "[] and [x]", _TWO_PLACES),
        Case(False, "[name]", _TWO_PLACES),
        Case(False, "[name\nand] (address)", _TWO_PLACES),
        Case(False, "[[name]]", _TWO_PLACES),
    ],
    "detectable_content:postscript": [
        Case(True, "Bye.\n\nP.S. Call me.", _PS),
        Case(True, "Bye. p. s. call me", _PS),
        Case(True, "Bye.\nP.P.S. Call me.", _PPS),
        Case(True, "Bye.\nNote: call me.", _asked(postscript_marker="NOTE:")),
        Case(False, "Bye.\nPS: call me.", _PS),
        Case(False, "Bye.\nP.S. Call me.", _PPS),
        Case(False, "Bye.\nP.S", _PS),
        Case(False, "Bye.\nNoted", _asked(postscript_marker="Note.")),
    ],
    "detectable_format:number_bullet_lists": [
        Case(True, "Two:\n* one\n* two", _TWO_BULLETS),
        Case(True, "  - one\n\t*two", _TWO_BULLETS),
        Case(True, "* one\n**bold**\n- two", _TWO_BULLETS),
        Case(False, "* one", _TWO_BULLETS),
        Case(False, "- one\n- two\n---", _TWO_BULLETS),  # a rule begins with a dash
        Case(False, "*\n* two", _TWO_BULLETS),  # one bullet over two lines
        Case(False, "1. one\n2. two", _TWO_BULLETS),
        Case(False, "• one\n• two", _TWO_BULLETS),
    ],
    "detectable_format:constrained_response": [
        Case(True, "My answer is yes.", {}),
        Case(True, "  My answer is no. ", {}),
        Case(True, "Hm. My answer is maybe. Who knows?", {}),
        Case(False, "my answer is yes.", {}),
        Case(False, "My answer is yes", {}),
        Case(False, "Yes.", {}),
    ],
    "detectable_format:number_highlighted_sections": [
        Case(True, "*one* and *two*", _TWO_HIGHLIGHTS),
        Case(True, "**one** and **two**", _TWO_HIGHLIGHTS),
        Case(True, "*one*\n**two**", _TWO_HIGHLIGHTS),
        Case(False, "*one*", _TWO_HIGHLIGHTS),
        Case(False, "**one**", _TWO_HIGHLIGHTS),
        Case(False, "* one\n* two\n* three", _TWO_HIGHLIGHTS),
        Case(False, "** ** *\n*", _TWO_HIGHLIGHTS),
    ],
    "detectable_format:multiple_sections": [
        Case(True, "SECTION 1\nOne.\nSECTION 2\nTwo.", _TWO_SECTIONS),
        Case(True, "SECTION1 and SECTION 22", _TWO_SECTIONS),
        Case(True, "# SECTION 1 SECTION 2 SECTION 3", _TWO_SECTIONS),
        Case(False, "Section 1\nSection 2", _TWO_SECTIONS),
        Case(False, "SECTION I\nSECTION II", _TWO_SECTIONS),
        Case(False, "SECTION 1\nOne.", _TWO_SECTIONS),
    ],
    "detectable_format:json_format": [
        Case(True, '{"a": [1, 2]}', {}),
        Case(True, '```json\n{"a": 1}\n```', {}),
        Case(True, '```\n"text"\n```\n', {}),
        Case(False, "{'a': 1}", {}),
        Case(False, 'Here: {"a": 1}', {}),
        Case(False, '{"a": 1,}', {}),
        Case(False, "[" * 100_000, {}),  # too deep for a parser that recurs
    ],
    "detectable_format:title": [
        Case(True, "<<Ode to joy>>\nText.", {}),
        Case(True, "Text with <<a title>> within.", {}),
        Case(True, "<<<three>>>", {}),
        Case(False, "<Ode to joy>", {}),
        Case(False, "<< >>", {}),
        Case(False, "<<<>>>", {}),
        Case(False, "<<Ode\nto joy>>", {}),
    ],
    "combination:two_responses": [
        Case(True, "One.\n******\nTwo.", {}),
        Case(True, "******One.******Two.******", {}),
        Case(True, "same******Same", {}),
        Case(False, "One.\n***\nTwo.", {}),
        Case(False, "One.******One. ", {}),
        Case(False, "One.******Two.******Three.", {}),
        Case(False, "One.************Two.", {}),
    ],
    "combination:repeat_prompt": [
        Case(True, "Write a haiku about Rome.\n\nSeven hills at dawn", _REPEAT),
        Case(True, "  WRITE A HAIKU ABOUT ROME.", _REPEAT),
        Case(True, "write a haiku about rome. Sure!", _REPEAT),
        Case(False, "Seven hills at dawn", _REPEAT),
        Case(False, "Sure: Write a haiku about Rome.", _REPEAT),
        Case(False, "Write a haiku about Rome", _REPEAT),
    ],
    "startend:end_checker": [
        Case(True, "Done. Is there anything else I can help with?", _BYE),
        Case(True, '"Done. is there anything else I can help with?"\n', _BYE),
        Case(True, "Is there anything else I can help with?", _BYE),
        Case(False, "Is there anything else I can help with? Bye.", _BYE),
        Case(False, "Is there anything else I can help with", _BYE),
        Case(False, "**Is there anything else I can help with?**", _BYE),
    ],
    "startend:quotation": [
        Case(True, '"All of it."', {}),
        Case(True, '\n"One." "Two."\n', {}),
        Case(True, '""', {}),
        Case(False, '"', {}),
        Case(False, "“All of it.”", {}),
        Case(False, '"All" of it.', {}),
    ],
    "change_case:capital_word_frequency": [
        Case(True, "NASA and the EU", _TWO_CAPITALS),
        Case(True, "DON'T", _TWO_CAPITALS),  # DO N'T, as the Penn Treebank has it
        Case(True, "A WELL-KNOWN tree", _TWO_CAPITALS),
        Case(True, "A well-known tree", _BELOW_TWO_CAPITALS),
        Case(True, "ΝΑΙ, ЭТО", _TWO_CAPITALS),
        Case(False, "WELL-KNOWN trees", _TWO_CAPITALS),
        Case(False, "NASAs, 12", _TWO_CAPITALS),
        Case(False, "THE END", _BELOW_TWO_CAPITALS),
    ],
    "change_case:english_capital": [
        Case(True, "THIS IS THE STORY OF A HOUSE THAT STOOD EMPTY FOR MANY YEARS.", {}),
        Case(True, "WHAT DO YOU WANT TO KNOW ABOUT THE WEATHER IN 1999?", {}),
        Case(True, "THE ANSWER IS THAT THERE IS NOTHING THAT YOU HAVE TO DO.", {}),
        Case(False, "THIS IS the STORY.", {}),
        Case(False, _ENGLISH_TEXT, {}),
        Case(False, "12 + 30 = 42", {}),
    ],
    "change_case:english_lowercase": [
        Case(True, _ENGLISH_TEXT, {}),
        Case(True, "what do you want to know about the weather in 1999?", {}),
        Case(True, "it was the best of times, it was the worst of times.", {}),
        Case(False, "The old house at the end of the street has been empty.", {}),
        Case(False, _FRENCH_TEXT, {}),
        Case(False, "12 + 30 = 42", {}),
    ],
    "punctuation:no_comma": [
        Case(True, "No such mark; none.", {}),
        Case(True, "一、二，三", {}),
        Case(True, "نعم، لا", {}),
        Case(False, "Yes, one.", {}),
        Case(False, "1,000", {}),
        Case(False, ",", {}),
    ],
}
