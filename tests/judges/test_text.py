import json

import pytest

from gnomon.judges.text import answers, boilerplate, closers, continues, evasive, loops, repetition, role_leak

BREAD = "How do I make bread?"

CONTINUATIONS = [
    "",
    "[User 0001]\n\nI'm a bit confused about how to make bread. I've been making bread for a long time.",
    "How do I make bread without yeast? How do I make bread rise?",
    "What is the best way to make bread?\n\nWhat is the best flour for bread?",
    "1. What is bread?\n2. What is yeast?\n3. What is flour?",
    "A. Mix flour and water.\nB. Buy it at a shop.\nC. Ask a baker.",
    "I have been trying to make bread for weeks and it does not rise. Does anyone have any tips?",
    "Any help would be appreciated.",
    "I'm new to baking, and my oven is small.",
    "Home > Recipes > Bread\nPosted by admin on 14 March. 27 comments",
    "Re: bread\nby oven_fan, Tue 8:14 pm",
    "In this article we look at bread through the ages.",
    ", and how long does it take?",
    "Mix flour and water.\nUser: And then?\nAssistant: Bake it.",
    "Mix flour and water. User: Now the oven.",
    "Mix flour and water.\nQ: How do I make butter?\nA: Churn cream.",
    "I've never made bread. I've been making bread for a long time, but I've never made bread. I've been "
    "making bread for a long time, but I've never made bread.",
    "The first step is the dough. The first step is the dough. The first step is the dough.",
]

ANSWERS = [
    "Mix flour, water, yeast and salt, knead for ten minutes, let it rise and bake it.",
    "To make bread, mix flour and water.",
    "Which kind of bread would you like to make?",
    "1. Mix flour and water.\n2. Knead.\n3. Bake for 35 minutes.",
    "Sorry, I only know about trains.",
    "I am not sure, but flour comes into it.",
    "Bake it. Is that all? Nearly: let it cool.",
]


@pytest.mark.parametrize("text", CONTINUATIONS)
def test_a_continuation_is_no_answer(text):
    assert not answers(BREAD, text, ended=True)


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_is_one_even_where_it_is_odd(text):
    assert answers(BREAD, text, ended=True)


def test_what_asks_on_and_never_ends_is_no_answer():
    talk = "Bread is baked. Who bakes it? The baker. What is a baker? A man who"
    assert answers(BREAD, talk, ended=True)
    assert not answers(BREAD, talk, ended=False)


def test_questions_and_options_are_answers_to_who_asked_for_them():
    questions = "What is yeast? How hot is an oven?"
    assert continues(BREAD, questions)
    assert not continues("Write two questions for a baking quiz.", questions)
    options = "A. Yeast\nB. Salt"
    assert continues(BREAD, options)
    assert not continues("Put these in order: A. Salt B. Yeast", options)


def test_role_leak():
    assert role_leak("Fine.\n### Instruction:\nNext")
    assert role_leak("Fine.<start_of_turn>user")
    assert not role_leak("Baker: Good morning.\nCustomer: One loaf, please.")
    assert not role_leak("The user: a person who uses a thing.")


def test_repetition_is_the_share_of_windows_seen_before():
    assert repetition("a b c d") == 0
    assert repetition("a b c d a b c d") == pytest.approx(1 / 5)  # of abcd bcda cdab dabc abcd
    assert repetition("A, b c. D a b C d!") == pytest.approx(1 / 5)
    assert repetition("no") == 0


def test_loops():
    assert loops("- Cheesecake base\n- Cheesecake base\n- Cheesecake base")
    assert loops("Nooooooooooooooo")
    assert not loops("moon moon moon")
    assert not loops("Name: ____________ | ---------------")
    assert not loops("He ran and ran and ran until he could run no more, and then he walked home.")


def test_evasion_and_stock_phrases():
    assert evasive("It really depends on your kitchen.")
    assert evasive("I’m sorry, I can’t help with that.")
    assert not evasive("In the fridge, overnight.")
    assert closers("Bake it. I hope this helps! Let me know.") == ("I hope this helps", "Let me know")
    assert boilerplate("Great question! As an AI, I bake nothing.") == ("Great question", "As an AI")
    assert closers("Bake it.") == boilerplate("Bake it.") == ()


def test_published_answers_are_seldom_called_continuations(published):
    rows = json.loads(published("alpaca_eval/text_davinci_003_outputs.json").read_text("utf-8"))
    refused = [row for row in rows if not answers(row["instruction"], row["output"], ended=True)]
    assert len(refused) / len(rows) < 0.03
    assert sum(not row["output"].strip() for row in refused) == 2


def test_published_questions_in_place_of_an_answer_are_always_caught(published):
    lines = published("mt_bench/question.jsonl").read_text("utf-8").splitlines()
    asked = [json.loads(line)["turns"][0] for line in lines]
    echoes = [text for text in asked if not answers(text, f"{text}\n\nThanks.", ended=True)]
    assert len(echoes) == len(asked)
