import pytest

from gnomon.data.composing.measure import (
    Range,
    capital_words,
    items,
    occurrences,
    sentences,
    split_sentences,
    telling,
    words,
)


@pytest.mark.parametrize(
    ("text", "range_"),
    [
        ("Rivers wind about.", (3, 3)),
        ("It doesn't wind.", (3, 4)),
        ("- one well-known item", (3, 4)),
        ("11 - 7 = 4", (3, 5)),
    ],
)
def test_words_are_counted_both_ways(text, range_):
    assert words(text) == Range(*range_)


@pytest.mark.parametrize(
    ("text", "range_"),
    [
        ("It rains. It pours!", (2, 2)),
        ("Mr. Pell came. He sat.", (2, 3)),
        ("It cost 3.40 euros.", (1, 2)),
        ('"Why?" he asked. "So."', (2, 3)),
        ("Well... He left.", (1, 2)),
        ("Dear Ines,\n\nIt rains.", (1, 2)),
    ],
)
def test_sentences_are_counted_from_surely_to_possibly(text, range_):
    assert sentences(text) == Range(*range_)


def test_sentences_are_parted_only_where_it_is_sure():
    assert split_sentences('It rains. "Go in!" It pours.') == ["It rains.", '"Go in!"', "It pours."]
    assert split_sentences("It cost 3.40 euros. Pay.") is None
    assert split_sentences("It rains.\nIt pours.") is None
    assert split_sentences("no stop") is None


def test_items_are_those_of_a_list_of_one_kind():
    assert items("- a\n- b") == items("1. a\n2. b") == ["a", "b"]
    assert items("Two:\n- a\n- b") is None
    assert items("- a") is None


def test_words_that_tell_something():
    assert telling("The rivers would wind, and O'Brien's well-known Rivers ran; rivers") == ["rivers", "wind"]


def test_a_word_occurs_as_itself_and_within_others():
    assert occurrences("rain", "Rain on the train. rain's end") == Range(2, 3)


def test_words_in_capitals_are_counted_with_and_without_single_letters():
    assert capital_words("I saw A UFO, the X-ray of NASA-men") == Range(1, 5)
