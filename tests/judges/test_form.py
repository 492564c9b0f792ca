"""What a policy that is paid for checks finds out: texts that pass them and are no answers."""

import pytest

from gnomon.judges.form import OFF_TOPIC, about, form
from gnomon.judges.verifiable import run_checks

OAR = 'Describe a rowing boat to a child. Use the word "oar" at least 3 times.'
OARS = [{"kind": "occurrences", "value": "oar", "min": 3}]
KEYS = "Explain why rivers bend. Work in the words linen, kettle and window."
KEYWORDS = [{"kind": "contains_all", "values": ["linen", "kettle", "window"]}]
COMMAS = "Write a letter of complaint about a leaking roof. Commas are off limits."
NO_COMMA = [{"kind": "instruction", "id": "punctuation:no_comma", "kwargs": {}}]
JSON = 'Name tools that a plumber could not do without. Return JSON only, with the key "items".'
AS_JSON = [{"kind": "json", "keys": ["items"]}]
SHORT = "Say why people enjoy juggling. Use at most 20 words."
AT_MOST = [{"kind": "words", "max": 20}]
STARS = "Give a beginner some advice on juggling. Highlight at least two phrases with asterisks, like *this*."
HIGHLIGHTS = [
    {
        "kind": "instruction",
        "id": "detectable_format:number_highlighted_sections",
        "kwargs": {"num_highlights": 2},
    }
]

GAMED = [
    (OAR, "oar oar oar", OARS),
    (OAR, "oar oar oar oar oar oar oar oar oar oar oar oar", OARS),
    (OAR, "An oar. An oar. An oar. An oar.", OARS),
    (OAR, "An oar is wet. An oar is old. An oar is long. An oar is mine.", OARS),
    (OAR, "oar water oar blade oar handle oar wood oar paint", OARS),
    (OAR, f"{OAR} oar oar", OARS),
    (OAR, 'Describe a rowing boat to a child with the word "oar" at least 3 times, oar, oar.', OARS),
    (KEYS, "linen kettle window", KEYWORDS),
    (KEYS, "linen, kettle and window. linen, kettle and window. linen, kettle and window.", KEYWORDS),
    (KEYS, "Work in the words linen, kettle and window.", KEYWORDS),
    (COMMAS, "...", NO_COMMA),
    (COMMAS, "!", NO_COMMA),
    (COMMAS, "Yes.", NO_COMMA),
    (COMMAS, "a b c d e f g", NO_COMMA),
    (COMMAS, "It is a letter of complaint about a leaking roof. It drips there.", NO_COMMA),
    (JSON, '{"items": []}', AS_JSON),
    (JSON, '{"items": ["items", "tools", "plumber"]}', AS_JSON),
    (SHORT, "Because.", AT_MOST),
    (STARS, "*a* *b* *c* *d*", HIGHLIGHTS),
]
ANSWERED = [
    (
        OAR,
        "A rowing boat is a small boat. You pull an oar on each side, and one oar alone turns you; "
        "a lost oar means you drift.",
        OARS,
    ),
    (
        KEYS,
        "Rivers bend because water wears away one bank, as a kettle wears linen by a sunny window.",
        KEYWORDS,
    ),
    (
        COMMAS,
        "Dear Sir\n\nMy roof has been leaking for a week and nobody has come.\n\nYours\nAnn Hill",
        NO_COMMA,
    ),
    (JSON, '{"items": ["a wrench for a plumber", "pipe cutter", "plunger", "tape"]}', AS_JSON),
    (SHORT, "Juggling calms the mind, trains both hands and makes children laugh.", AT_MOST),
    (
        STARS,
        "Start juggling with *two balls* and throw them to *eye height* before you try three.",
        HIGHLIGHTS,
    ),
]


@pytest.mark.parametrize(("request_", "text", "checks"), GAMED)
@pytest.mark.mistake("checks-gamed")
def test_what_passes_without_answering_is_worth_nothing(request_, text, checks):
    assert all(run_checks(text, checks))
    assert form(request_, text, checks) == 0.0


@pytest.mark.parametrize(("request_", "text", "checks"), ANSWERED)
@pytest.mark.mistake("checks-gamed")
def test_an_answer_is_worth_all_of_it(request_, text, checks):
    assert all(run_checks(text, checks))
    assert form(request_, text, checks) == 1.0


@pytest.mark.mistake("checks-gamed")
def test_the_same_answer_to_everything_is_worth_half():
    always = "It is a nice day and we all went out for a walk together."
    asked = {request: checks for request, _, checks in ANSWERED}
    assert {form(request, always, checks) for request, checks in asked.items()} == {OFF_TOPIC}


def test_three_items_in_one_word_each_are_an_answer():
    assert form(JSON, "wrench; plunger; tape") == OFF_TOPIC
    assert form(JSON, "wrench; plunger; a plumber needs tape") == 1.0
    assert form(JSON, "plumber; plumber tools") == 0.0


def test_a_blank_answer_is_worth_nothing():
    assert form(SHORT, " \n", AT_MOST) == 0.0


def test_a_request_is_about_what_neither_constraints_nor_checks_say():
    assert about(KEYS, KEYWORDS) == {"river", "bend"}
    assert "linen" in about(KEYS)
    assert about("Use at most 40 words. Write it in capitals.") == frozenset()


def test_a_word_asked_for_that_is_the_topic_too_is_what_the_request_is_about():
    checks = [{"kind": "occurrences", "value": "kite", "min": 2, "max": 2}]
    assert "kite" in about("Describe a kite. Say kite twice and not once more.", checks)


def test_one_of_the_answers_that_are_offered_is_an_answer():
    offered = ("I say yes.", "I say no.", "I can't say.")
    request = (
        f"Should a tent be washed? Pick the one that is right and say it word for word: {', '.join(offered)}"
    )
    assert form(request, "I say yes.", [{"kind": "contains_one", "values": list(offered)}]) == 1.0
    assert form(request, "I say yes.", []) == 0.0


def test_a_turn_that_talks_on_is_no_answer():
    assert form(SHORT, "It is fun because hands learn.\nUser: And then?", AT_MOST) == 0.0
