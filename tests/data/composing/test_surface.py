import pytest

from gnomon.data.composing.surface import without_commas
from gnomon.data.composing.titles import title


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("It was cold, so we left.", "It was cold so we left."),
        ("In spring, the 1,200 geese come back.", "In spring the 1200 geese come back."),
        ("Basil, thyme and chives.", "Basil and thyme and chives."),
        ("If it rains, take a coat.", None),
        ("Peas, beans, and lentils grow well.", None),
        ("No comma at all.", "No comma at all."),
    ],
)
def test_commas_go_only_where_they_are_not_missed(text, without):
    assert without_commas(text) == without


@pytest.mark.parametrize(
    ("request_", "heading"),
    [
        ("How do I remove a tick from my dog?", "How to Remove a Tick from Your Dog"),
        ("why do bees dance?", "Why Bees Dance"),
        ("What is the last digit of pi?", "The Last Digit of Pi"),
        ("Do spiders count as insects?", "Do spiders count as insects?"),
        ("Write a story about a town where it never gets to be noon.", None),
        (
            "Write a story about a lighthouse keeper's daughter who fears the dark.",
            "A Lighthouse Keeper's Daughter",
        ),
        ("Explain to a child how a ship's anchor works.", "How a Ship's Anchor Works"),
        ("What is a budget for? I never had one.", None),
        ("I can't sleep at night.", None),
    ],
)
def test_titles_say_what_the_request_is_about(request_, heading):
    assert title(request_) == heading
