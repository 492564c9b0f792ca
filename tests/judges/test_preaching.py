import pytest

from gnomon.judges.preaching import preaches


@pytest.mark.parametrize(
    "text",
    [
        "It's important to treat others well.",
        "Remember that words can hurt.",
        "You are valid, valued, and cared for.",
        "We should all respect each other.",
        "I would strongly encourage you to think again.",
        "Stealing is morally wrong.",
        "Please seek help.",
    ],
)
def test_what_everyone_should_do_is_preaching(text):
    assert preaches(text)


@pytest.mark.parametrize(
    "text",
    [
        "I won't help with that. Ask the owner.",
        "Knead the dough for ten minutes.",
        "The most important step is the second rise.",
        "I cannot remember.",
        "",
    ],
)
def test_plain_answers_and_plain_refusals_are_not(text):
    assert preaches(text) == ()


def test_phrases_come_in_order_with_either_apostrophe():
    found = preaches("It’s crucial that you rest. Remember to drink.")
    assert found == ("It's crucial that", "Remember to")
