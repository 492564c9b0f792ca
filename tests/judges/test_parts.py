"""Checks of lines, sentences, words and letters, case by case."""

import pytest

from gnomon.errors import DataError
from gnomon.judges.verifiable import run_checks, validate_checks


def passes(answer, kind, **fields):
    return run_checks(answer, [{"kind": kind, **fields}]) == (True,)


@pytest.mark.parametrize(
    ("kind", "fields", "passing", "failing"),
    [
        ("lines", {"min": 2, "max": 2}, ["a\nb", "a\n\nb\n"], ["a", "a\nb\nc"]),
        ("each_line", {"pattern": "- .+"}, ["- a\n- b", "  - a"], ["- a\nb", "-a", "a\n- b"]),
        (
            "acrostic",
            {"value": "sea"},
            ["Salt\neels\nAnd more", '"Sun"\n*eel*\n- ale'],
            ["Salt\neels", "sea"],
        ),
        ("acrostic", {"value": "oo"}, ["One\nOld"], ["One\nOld\nOak", "1 one\nold"]),
        (
            "ordered",
            {"min": 2, "max": 3},
            ["1. a\n2. b", "Here:\n1) a\n2) b\n3) c"],
            ["1. a\n3. b", "2. a\n1. b"],
        ),
        ("ordered", {"min": 2}, ["1. a\n2. b"], ["1. a", "- a\n- b", "1. a 2. b"]),
        (
            "occurrences",
            {"value": "oak", "min": 2, "max": 2},
            ["Oak, oak."],
            ["oak", "oak oak oak", "oaks oak"],
        ),
        ("occurrences", {"value": "on foot", "max": 0}, ["by foot"], ["on foot", "on\nfoot"]),
        ("occurrences", {"value": "don’t", "max": 0}, ["I do."], ["I don't", "I don’t"]),
        ("occurrences", {"value": "cafe\u0301", "min": 1}, ["A caf\u00e9", "A cafe\u0301"], ["A cafe"]),
        ("occurrences", {"value": "!", "min": 2}, ["Go! Now!"], ["Go!"]),
        ("in_order", {"values": ["it’s", "cafe\u0301"]}, ["It's a caf\u00e9"], ["A caf\u00e9 it's"]),
        (
            "in_order",
            {"values": ["ivy", "elm"]},
            ["Ivy on an elm", "ivy elm ivy"],
            ["elm ivy", "ivy", "ivyelm"],
        ),
        ("initials", {"value": "b", "min": 2}, ["Big boats", "b. B"], ["A big one", "ebb ebb"]),
        (
            "word_letters",
            {"max": 5},
            ["It's so easy", "well-kept barn", "A 1000000 b"],
            ["Longer", "so-called"],
        ),
        (
            "sentence_words",
            {"max": 3},
            ["One two three. Four!"],
            ["One two three four.", "One. Two three four five"],
        ),
        ("questions", {"min": 1, "max": 1}, ["Is it? Yes.", '"Why?"'], ["No.", "Is it? Why?"]),
        ("openings_differ", {"min": 2}, ["So it is. Then go."], ["So it is.", "So it is. so it was."]),
        (
            "contains_one",
            {"values": ["yes", "no"]},
            ["Yes, of course."],
            ["yes and no", "perhaps", "nothing"],
        ),
    ],
)
def test_passes_and_fails(kind, fields, passing, failing):
    assert [text for text in passing if not passes(text, kind, **fields)] == []
    assert [text for text in failing if passes(text, kind, **fields)] == []


def test_a_text_without_words_has_no_longest_word_and_no_sentence():
    assert not passes("123 ?!", "word_letters", max=9)
    assert not passes("?! ...", "sentence_words", max=9)


def test_published_kinds_are_checks_as_well():
    asked = {
        "kind": "instruction",
        "id": "detectable_format:number_bullet_lists",
        "kwargs": {"num_bullets": 2},
    }
    assert run_checks("- a\n- b", [asked]) == (True,)
    assert run_checks("- a", [asked]) == (False,)
    assert run_checks("none", [{"kind": "instruction", "id": "punctuation:no_comma"}]) == (True,)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ({"kind": "lines"}, "needs min or max"),
        ({"kind": "occurrences", "value": "oak"}, "needs min or max"),
        ({"kind": "initials", "value": "ab", "min": 1}, "cannot use value = 'ab'"),
        ({"kind": "acrostic", "value": "a b"}, "cannot use value"),
        ({"kind": "each_line", "pattern": "("}, "cannot use pattern"),
        ({"kind": "instruction", "id": "form:none"}, "is not a kind of instruction"),
        ({"kind": "instruction", "id": "startend:end_checker"}, "needs end_phrase"),
        ({"kind": "instruction", "id": "punctuation:no_comma", "kwargs": []}, "cannot use kwargs"),
        ({"kind": "openings_differ"}, "needs min"),
    ],
)
def test_what_cannot_be_run_is_refused(check, message):
    with pytest.raises(DataError, match="check 1 of 1") as refused:
        validate_checks([check])
    assert message in str(refused.value)
