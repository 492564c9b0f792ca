"""Every kind on its cases, and what is refused before anything is checked."""

import pytest
from instruction_cases import CASES

from gnomon.errors import DataError
from gnomon.judges.instructions.following import Instruction, follow, follow_loosely
from gnomon.judges.instructions.kinds import KINDS

DETECTS = ("language:response_language", "change_case:english_capital", "change_case:english_lowercase")
"""Kinds that ask langdetect."""


NAMED = {f"{kind}-{at}": (kind, case) for kind, cases in CASES.items() for at, case in enumerate(cases)}


@pytest.mark.parametrize(("kind", "case"), NAMED.values(), ids=NAMED)
def test_responses_are_judged_as_a_person_judged_them(kind, case):
    if kind in DETECTS:
        pytest.importorskip("langdetect")
    assert follow(case.response, [Instruction(kind, case.kwargs)]) == (case.follows,)


def test_every_kind_has_responses_of_both_sorts():
    assert CASES.keys() == KINDS.keys()
    assert len(KINDS) == 25
    for kind, cases in CASES.items():
        assert sum(case.follows for case in cases) >= 3, kind
        assert sum(not case.follows for case in cases) >= 3, kind


def test_every_kwarg_of_every_case_is_needed():
    for kind, cases in CASES.items():
        for name in cases[0].kwargs:
            lacking = {other: value for other, value in cases[0].kwargs.items() if other != name}
            with pytest.raises(DataError, match=f"'{kind}' needs {name}"):
                Instruction(kind, lacking)


@pytest.mark.parametrize(
    ("kind", "kwargs", "message"),
    [
        ("keywords:vibes", {}, "'keywords:vibes' is not a kind of instruction; known are keywords:existence"),
        (None, {}, "None is not a kind"),
        (["title"], {}, "is not a kind"),
        ("detectable_format:title", None, "has None for kwargs"),
        ("detectable_format:title", {"letter": "q"}, "cannot use letter = 'q'; its kwargs are none"),
        ("keywords:existence", {"keywords": "rate"}, "cannot use keywords = 'rate'"),
        ("keywords:existence", {"keywords": []}, r"cannot use keywords = \[\]"),
        ("keywords:existence", {"keywords": ["rate", " "]}, "cannot use keywords"),
        (
            "keywords:frequency",
            {"keyword": "a", "frequency": 1, "relation": "at most"},
            "relation = 'at most'",
        ),
        (
            "keywords:letter_frequency",
            {"letter": "qu", "let_frequency": 1, "let_relation": "at least"},
            "letter = 'qu'",
        ),
        ("language:response_language", {"language": "zh"}, "cannot use language = 'zh'"),
        ("length_constraints:number_paragraphs", {"num_paragraphs": -1}, "num_paragraphs = -1"),
        ("length_constraints:number_paragraphs", {"num_paragraphs": True}, "num_paragraphs = True"),
        ("length_constraints:number_paragraphs", {"num_paragraphs": "2"}, "num_paragraphs = '2'"),
        ("detectable_content:postscript", {"postscript_marker": " "}, "postscript_marker = ' '"),
    ],
)
def test_what_cannot_be_checked_is_refused_by_name(kind, kwargs, message):
    with pytest.raises(DataError, match=message):
        Instruction(kind, kwargs)


@pytest.mark.parametrize(
    ("num", "nth", "word", "message"),
    [
        (2, 3, "elm", "has nth_paragraph above num_paragraphs"),
        (2, 0, "elm", "nth_paragraph = 0"),
        (2, 1, "an elm", "first_word = 'an elm'"),
    ],
)
def test_a_paragraph_that_cannot_be_is_refused(num, nth, word, message):
    kwargs = {"num_paragraphs": num, "nth_paragraph": nth, "first_word": word}
    with pytest.raises(DataError, match=message):
        Instruction("length_constraints:nth_paragraph_first_word", kwargs)


ODD = [
    *(
        "\ud800",
        "\x00",
        "\u202eabc",
        "e\u0301\u0308",
        "ß ſ İ ŉ",
        "a\r\nb\u2028c",
        "\U0001f469\u200d\U0001f467",
    ),
    *("*" * 5_000, "<<" * 2_000, "[" * 2_000),
]


@pytest.mark.parametrize("text", ODD, ids=lambda text: ascii(text[:8]))
def test_every_text_is_judged(text):
    """Half a surrogate pair, controls, marks, letters whose case is two letters, long runs of markup."""
    asked = [Instruction(kind, cases[0].kwargs) for kind, cases in CASES.items() if kind not in DETECTS]
    assert {type(outcome) for outcome in follow_loosely(text, asked)} == {bool}


@pytest.mark.parametrize("text", ODD, ids=lambda text: ascii(text[:8]))
@pytest.mark.parametrize("kind", DETECTS)
def test_every_text_has_a_language_or_none(kind, text):
    pytest.importorskip("langdetect")
    assert type(follow(text, [Instruction(kind, CASES[kind][0].kwargs)])[0]) is bool
