import pytest

from gnomon.judges.counting import bullets, items, numbered, sentences, words


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Wet, salty, blue.", 3),
        ("a well-known tree", 3),
        ("It is - well - old", 4),
        ("wide—open", 2),
        ("1. Anna\n2. Mary\n- Jo", 3),
        ("", 0),
    ],
)
def test_words(text, count):
    assert words(text) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("A library lends books.", 1),
        ("No. Winter is colder.", 2),
        ("Mr. Brown came at 5 p.m. and paid 3.50 for it. He left!", 2),
        ("Well... that is odd. Is it?", 2),
        ("the leaves fall. the days get short", 2),
        ('He said "Go." Then he left.', 2),
        ("- one\n- two", 2),
        ("First part\n\nSecond part", 2),
        ("...", 0),
    ],
)
def test_sentences(text, count):
    assert len(sentences(text)) == count


def test_bullets_and_numbers_are_lines():
    assert bullets("Two:\n- a\n* b\n-c\n-\n**bold**") == 2
    assert numbered("1. a\n2) b\n(3) c\nStep 4: d\n**5.** e") == 5
    assert numbered("1. Wet it. 2. Brush. 3. Rinse.") == 3
    assert numbered("It was built in 1932. Then 5. June came.") == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("apple, pear, and plum", ["apple", "pear", "plum"]),
        ("tea and coffee", ["tea", "coffee"]),
        ("red\n- green\n3. blue\n", ["red", "green", "blue"]),
        ("Here they are:\ntea, black\ncoffee", ["tea, black", "coffee"]),
        ("Three fruits: fig; lime; kiwi", ["fig", "lime", "kiwi"]),
    ],
)
def test_items(text, found):
    assert items(text) == found
