"""Rows as published, blank responses, and the loose variants."""

import json

import pytest
from instruction_cases import CASES

from gnomon.errors import DataError
from gnomon.judges.instructions.following import (
    Instruction,
    follow,
    follow_loosely,
    instructions_of,
    variants,
)
from gnomon.judges.instructions.kinds import KINDS

IFEVAL = "ifeval/input_data.jsonl"
TITLE, NO_COMMA = Instruction("detectable_format:title", {}), Instruction("punctuation:no_comma", {})
QUOTED = Instruction("startend:quotation", {})


def row(**values):
    return {
        "key": 1000,
        "prompt": "Write a poem of 50 words without commas.",
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
        "kwargs": [{}, {"num_words": 50, "relation": "at least"}],
        **values,
    }


def test_each_instruction_is_followed_or_not_in_order():
    assert follow("<<Rome>> without", [TITLE, NO_COMMA]) == (True, True)
    assert follow("<<Rome>>, with", [TITLE, NO_COMMA, TITLE]) == (True, False, True)
    assert follow("anything", []) == ()


@pytest.mark.parametrize("blank", ["", " ", "\n\n\t", "\u3000\u2003"])
def test_a_blank_response_follows_nothing(blank):
    asked = [Instruction(kind, cases[0].kwargs) for kind, cases in CASES.items()]
    assert not any(follow(blank, asked))
    assert not any(follow_loosely(blank, asked))


def test_the_eight_variants():
    assert variants("Sure:\n*one*\n two \nBye.") == (
        "Sure:\n*one*\n two \nBye.",
        "*one*\n two \nBye.",
        "Sure:\n*one*\n two",
        "*one*\n two",
        "Sure:\none\n two \nBye.",
        "one\n two \nBye.",
        "Sure:\none\n two",
        "one\n two",
    )
    assert set(variants("*one*")) == {"*one*", "", "one"}


@pytest.mark.parametrize(
    "response",
    [
        '"Whole."',
        'Sure:\n"Whole."',
        '"Whole."\nBye.',
        'Sure:\n\n"Whole."\n\nBye.',
        '*"Whole."*',
        'Sure:\n**"Whole."**',
        '**"Whole."**\nBye.',
        'Sure:\n**"Whole."**\nBye.',
    ],
)
def test_each_variant_may_be_the_one_that_follows(response):
    assert follow_loosely(response, [QUOTED]) == (True,)
    assert follow(response, [QUOTED]) == (response == '"Whole."',)


def test_two_lines_around_are_too_many():
    assert follow_loosely('Sure.\nHere:\n"Whole."', [QUOTED]) == (False,)


def test_what_is_left_out_may_not_leave_a_blank():
    """Nothing is left of one line without its first; that follows no "less than", and no "no comma"."""
    assert follow_loosely("One, two", [NO_COMMA]) == (False,)
    assert follow_loosely("**,**\n**", [NO_COMMA]) == (True,)  # the strict response without its first line
    assert follow_loosely(",\n \n", [NO_COMMA]) == (False,)


def test_instructions_may_be_followed_by_different_variants():
    yes = Instruction("detectable_format:constrained_response", {})
    response = 'My answer is yes.\n"Whole."'
    assert follow_loosely(response, [QUOTED, yes]) == (True, True)
    assert follow(response, [QUOTED, yes]) == (False, True)


def test_a_row_is_read_with_its_nulls():
    every = {"num_words": None, "relation": None, "letter": None}
    read = instructions_of(row(kwargs=[every, {**every, "num_words": 50, "relation": "at least"}]))
    assert (read.key, read.prompt) == ("1000", row()["prompt"])
    assert read == instructions_of(row())
    assert [(one.id, one.kwargs) for one in read.instructions] == [
        ("punctuation:no_comma", {}),
        ("length_constraints:number_words", {"num_words": 50, "relation": "at least"}),
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prompt": None}, "row 1000: prompt is None"),
        ({"prompt": " "}, "row 1000: prompt is ' '"),
        ({"instruction_id_list": []}, r"instruction_id_list is \[\] and kwargs"),
        ({"kwargs": [{}]}, "two lists of one length"),
        ({"kwargs": None}, "kwargs None"),
        ({"instruction_id_list": [], "kwargs": []}, "1 or more"),
        (
            {"kwargs": [{}, {}]},
            "row 1000: instruction 'length_constraints:number_words' needs num_words, relation",
        ),
        ({"kwargs": [{}, None]}, "has None for kwargs"),
        ({"kwargs": [{"num_words": 0}, {}]}, "'punctuation:no_comma' cannot use num_words = 0"),
        ({"instruction_id_list": ["title", "title"]}, "row 1000: instruction 'title' is not a kind"),
    ],
)
def test_a_row_that_cannot_be_checked_is_refused_by_its_key(values, message):
    with pytest.raises(DataError, match=message):
        instructions_of(row(**values))


def test_every_published_row_is_read(published):
    rows = [json.loads(line) for line in published(IFEVAL).read_text(encoding="utf-8").splitlines()]
    read = [instructions_of(row) for row in rows]
    assert (len(read), sum(len(one.instructions) for one in read)) == (541, 834)
    assert {each.id for one in read for each in one.instructions} == KINDS.keys()
