import unicodedata

import pytest

from gnomon.data.reader import Reader
from gnomon.errors import DataError
from gnomon.evaluation.prompts import builtin
from gnomon.judges.verifiable import run_checks, validate_checks
from gnomon.records import Prompt

SUITE = {prompt.id: prompt for prompt in (*builtin(), *Reader().read("evaluation", Prompt, ["builtin:dev"]))}


def passes(answer, kind, **fields):
    return run_checks(answer, [{"kind": kind, **fields}]) == (True,)


@pytest.mark.parametrize("answer", ["Yes.", '"yes"', "**Yes**", "“Yes!”", "```\nyes\n```", "  YES  "])
def test_dressing_does_not_make_an_answer_wrong(answer):
    assert passes(answer, "equals_any", values=["yes"])


def test_equality_is_of_the_whole_answer():
    assert not passes("Yes, but no", "equals_any", values=["yes", "no"])
    assert passes("$1,200.00", "equals_any", values=["1200"])
    assert not passes("$1,200.50", "equals_any", values=["1200"])
    assert passes(unicodedata.normalize("NFD", "café"), "equals_any", values=["café"])


def test_phrases_are_found_as_whole_words():
    assert passes("I can’t\nhelp you.", "contains_any", values=["I can't help"])
    assert not passes("It is knot", "contains_any", values=["not"])
    assert passes("Cows moo", "contains_all", values=["cows", "moo"])
    assert not passes("Cows moo", "contains_all", values=["cows", "meow"])
    assert passes("Cows moo", "excludes", values=["cow"])
    assert not passes("A cow moos", "excludes", values=["cow"])


@pytest.mark.parametrize(
    ("text", "held"),
    [
        *(("10.", True), ("10, 20", True), ("10:30", True), ("$10!", True), ("10,000", False)),
        *(("10.5", False), ("100", False), ("3.10", False), ("2,10 and", False)),
    ],
)
def test_a_number_is_no_part_of_another(text, held):
    assert passes(text, "contains_any", values=["10"]) is held


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("54.", 54), ("9 x 6 = 54", 54), ("31, because 15 x 2 + 1", 31), ("Twelve", 12), ("200g", 200)),
        *(("€1,200.00", 1200), ("-5 degrees", -5), ("about 0.5", 0.5), ("10-20", 20), ("−3", -3)),
    ],
)
def test_numbers_are_read_as_people_write_them(text, value):
    assert passes(text, "number", value=value)


@pytest.mark.parametrize(
    ("text", "value"), [("B7", 7), ("54 55 56", 55), ("540", 54), ("none", 0), ("5.4", 4)]
)
def test_other_numbers_do_not_count(text, value):
    assert not passes(text, "number", value=value)


def test_any_number_counts_where_the_check_says_so():
    assert passes("54 55 56", "number", value=55, any=True)


def test_counts_lie_within_bounds():
    assert passes("one two", "words", min=2, max=2)
    assert not passes("one two three", "words", max=2)
    assert not passes("one", "words", min=2)
    assert passes("One. Two.", "sentences", min=2, max=2)
    assert passes("- a\n- b", "bullets", min=2, max=2)
    assert passes("1. a\n2. b", "numbered", min=2, max=2)
    assert passes("a, b and c", "items", min=3, max=3)
    assert not passes("a, b and c", "items", min=4)


def test_json_has_just_the_keys_asked_for():
    assert passes('{"a": 1, "b": 2}', "json", keys=["b", "a"])
    assert passes('Here:\n```json\n{"a": 1}\n```', "json", keys=["a"])
    assert not passes('{"a": 1, "b": 2}', "json", keys=["a"])
    assert not passes("{'a': 1}", "json", keys=["a"])
    assert not passes('["a"]', "json", keys=["a"])
    assert passes("[1]", "json")


def test_starts_ends_case_and_regex():
    assert passes("**No**, it is not.", "starts_with", value="No")
    assert not passes("Nobody knows.", "starts_with", value="No")
    assert passes('"Which song?"', "ends_with", value="?")
    assert passes("All the way home.", "ends_with", value="home")
    assert not passes("A new chrome", "ends_with", value="rome")
    assert not passes("Yesterday it rained", "starts_with", value="Yes ")
    assert passes("to sit on.", "case", value="lower")
    assert not passes("To sit on.", "case", value="lower")
    assert passes("NOON!", "case", value="upper")
    assert not passes("12", "case", value="upper")
    assert passes("red; green", "regex", pattern="red ?; ?green")


@pytest.mark.parametrize("text", ["Bye :)", "**Bye :)**", "“Bye :)”"])
def test_an_answer_may_end_with_what_else_is_dressing(text):
    assert passes(text, "ends_with", value=":)")
    assert not passes("Bye :", "ends_with", value=":)")


def test_brackets_without_end_are_no_json():
    assert not passes("[" * 100_000, "json")


def test_a_blank_answer_passes_nothing():
    checks = [{"kind": "excludes", "values": ["no"]}, {"kind": "words", "max": 5}]
    assert run_checks(" \n", checks) == (False, False)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ({"kind": "vibes"}, "'vibes' is not a kind of check; known are contains_any"),
        ({}, "None is not a kind"),
        ({"kind": "number"}, "needs value"),
        ({"kind": "number", "value": "54"}, "cannot use value = '54'"),
        ({"kind": "words"}, "needs min or max"),
        ({"kind": "words", "min": 3, "max": 2}, "min above max"),
        ({"kind": "words", "minimum": 3}, "cannot use minimum"),
        ({"kind": "excludes", "values": []}, "cannot use values"),
        ({"kind": "contains_any", "values": "yes"}, "cannot use values"),
        ({"kind": "regex", "pattern": "("}, "cannot use pattern"),
        ({"kind": "case", "value": "title"}, "cannot use value"),
    ],
)
def test_checks_that_cannot_be_run_are_refused_by_position(check, message):
    with pytest.raises(DataError, match="check 2 of 2") as refused:
        validate_checks([{"kind": "json"}, check])
    assert message in str(refused.value)
    with pytest.raises(DataError):
        run_checks("yes", [check])


GOOD = {
    "test-bread-001": "Mix flour, water, yeast and salt, knead, let it rise for an hour and bake it.",
    "dev-arithmetic-002": "54",
    "dev-arithmetic-007": "Sara now has 12 - 5 + 3 = 10 stickers.",
    "dev-short_answer-001": "Yes.",
    "dev-lists-003": "1. A desk\n2. A chair\n3. A blackboard",
    "dev-lists-005": "Anna, Maria, Sophie, Emma and Lily",
    "dev-formats-005": '```json\n{"name": "Tim", "age": 9}\n```',
    "dev-formats-011": "After the long walk we were glad to be home.",
}


@pytest.mark.parametrize("id", GOOD)
def test_good_answers_to_built_in_prompts_pass(id):
    assert all(run_checks(GOOD[id], SUITE[id].checks))


@pytest.mark.parametrize("id", GOOD)
def test_the_prompt_carried_on_does_not_pass(id):
    assert not all(run_checks(_carried_on(SUITE[id]), SUITE[id].checks))


def test_no_built_in_prompt_passes_when_it_is_carried_on():
    checked = [prompt for prompt in SUITE.values() if prompt.checks]
    fooled = [prompt.id for prompt in checked if all(run_checks(_carried_on(prompt), prompt.checks))]
    assert fooled == []


def _carried_on(prompt):
    return (
        f"{prompt.conversation.text}\n\nI wonder about that too. What else could one ask, and who would know?"
    )
