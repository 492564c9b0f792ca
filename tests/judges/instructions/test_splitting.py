import re
import unicodedata

import pytest

from gnomon.judges.instructions.splitting import parted, tokens, words


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("- * …", 0), ("it's a well-known 3.5", 7), ("snake_case", 1), ("naïve", 1), ("日本語", 1)],
)
def test_words_are_runs_of_letters_and_digits(text, count):
    assert len(words(text)) == count


def test_text_is_taken_as_it_is_encoded():
    assert words(unicodedata.normalize("NFD", "naïve")) == ["nai", "ve"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WELL-KNOWN, U.S. 3.5", ["WELL-KNOWN", "U.S", "3.5"]),
        ("DON'T I'M IT'S I'LL", ["DO", "N'T", "I", "'M", "IT", "'S", "I", "'LL"]),
        ("DON’T", ["DON", "T"]),
        ("NASA's AT&T", ["NASA", "'s", "AT", "T"]),
        (
            "CANNOT GONNA WANNA GOTTA GIMME",
            ["CAN", "NOT", "GON", "NA", "WAN", "NA", "GOT", "TA", "GIM", "ME"],
        ),
        ("CANNOTS COD", ["CANNOTS", "COD"]),
        ("(NASA): A/B A:B 10:30 1,000", ["NASA", "A/B", "A", "B", "10:30", "1,000"]),
        ("YES...NO--SO “OK” *UP*", ["YES", "NO", "SO", "OK", "UP"]),
    ],
)
def test_tokens_are_the_penn_treebank_s_without_punctuation(text, expected):
    assert tokens(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", ["a", "b"]),
        ("|a| b |", ["a", " b "]),
        ("a", ["a"]),
        ("|", []),
        ("a||b", None),
        ("a| |b", None),
        ("| |", None),
    ],
)
def test_parts_between_dividers(text, expected):
    assert parted(text, re.compile(r"\|")) == expected
