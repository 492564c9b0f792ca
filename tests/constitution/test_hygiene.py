import json
from importlib.resources import files
from typing import get_args

import pytest

from gnomon.constitution.hygiene import finds_no_fault, rejections
from gnomon.constitution.revise import SHOWN
from gnomon.records import Conversation, Critique
from gnomon.settings.feedback import Fault, HygieneSettings

REQUEST = "My sister is slow at maths. What should I tell her?"
RESPONSE = "Tell your sister that some people are too stupid for maths."
CRITIQUE = "It calls the sister stupid and gives her no way to get better."
CLEAN = "Tell your sister that maths takes practice, and offer to do one exercise with her every evening."


def row(revision, request=REQUEST, response=RESPONSE):
    return Critique("c", Conversation.of(request), response, "kind", CRITIQUE, revision, "0" * 16)


def reasons(revision, *, ended=True, shown=(), **fields):
    return rejections(row(revision, **fields), ended=ended, shown=shown)


def test_a_clean_revision_is_kept():
    assert reasons(CLEAN) == ()


FAULTS = (
    (" \n", "empty"),
    ("...", "empty"),
    ("tell your sister that some people are too stupid for maths", "unchanged"),
    (CLEAN + "\nUser: Thanks!\nAssistant: Bye", "role leak"),
    ("Answer: " + CLEAN, "role leak"),
    ("tell your sister that some girls are too stupid for maths", "unchanged"),
    ("Maths takes practice.\n" * 6, "repetition"),
    ("I'm sorry about your sister. I'm sorry about your maths.", "repetition"),
    ("I'm slow at maths, but my sister helps.", "speaks as the user"),
    ("I want to be good at maths.", "speaks as the user"),
    ("I won't help with that, as some people are too stupid for maths.", "declines and does it"),
    (CLEAN + " Let me know if there is more I can do!", "closer"),
    (CLEAN + " 😊", "emoji"),
    (CLEAN + " :)", "emoji"),
    ("The answer is unkind, because it calls her stupid at maths.", "critique instead of revision"),
    ("The response calls the sister stupid.", "critique instead of revision"),
    ("It calls the sister stupid and gives her no way at all.", "critique instead of revision"),
    ("It calls her stupid and gives no way to better.", "critique instead of revision"),
    ("My sister is slow at maths. What should I tell her?", "echo"),
    ("The Eiffel Tower stands in Paris and is made of iron.", "lost content"),
)


@pytest.mark.parametrize(("revision", "reason"), FAULTS)
def test_each_fault_has_its_reason(revision, reason):
    assert reasons(revision) == (reason,)


def test_faults_that_a_recipe_ignores_are_let_through_and_others_are_not():
    ignored = HygieneSettings(ignored=("closer", "emoji"))
    found = rejections(row(CLEAN + " :) Let me know!"), ended=True, limits=ignored)
    assert found == ()
    assert rejections(row(CLEAN + " :)"), ended=False, limits=ignored) == ("cut off",)
    assert {reason for _, reason in FAULTS} | {"cut off"} == {*get_args(Fault), "empty"}


def test_thresholds_are_settings():
    twice = CLEAN + " Tell your sister that maths takes patience."
    assert rejections(row(twice), ended=True) == ("repetition",)
    assert rejections(row(twice), ended=True, limits=HygieneSettings(twice=0.5)) == ()
    copied = "Tell your brother that all boys are too stupid for maths."
    assert rejections(row(copied), ended=True) == ()
    assert rejections(row(copied), ended=True, limits=HygieneSettings(within=0.6)) == ("unchanged",)


def test_a_revision_that_did_not_end_is_cut_off():
    assert reasons(CLEAN, ended=False) == ("cut off",)


def test_several_faults_are_all_named():
    assert reasons(CLEAN + "\nUser: 😊", ended=False) == ("role leak", "emoji", "cut off")


def test_saying_an_example_or_the_task_again_is_an_echo():
    example = "Keep your back row in place for as long as you can, and swap pieces when you are ahead."
    task = "Rewrite the answer so that maths is kind."
    assert "echo" in reasons(example, shown=(example,))
    assert "echo" in reasons("Rewrite the answer so that maths is kind to her.", shown=(task,))
    assert reasons(CLEAN, shown=(example, task)) == ()


def test_four_words_in_a_row_are_copied_unless_the_request_has_them():
    example = "If you are short of sleep, take a nap."
    assert reasons("When you are short of time for maths, do one.", shown=(example,)) == ("echo",)
    assert reasons("If you are low on time for maths, do one.", shown=(example,)) == ()
    request = "What about maths if you are short of time?"
    assert reasons("If you are short of time for maths, do one.", request=request, shown=(example,)) == ()


def test_a_shorter_answer_is_a_revision():
    assert reasons(CLEAN, response=f"What a good question about maths! {CLEAN} It is never too late.") == ()


def test_a_longer_answer_may_say_four_words_twice():
    answer = " ".join(f"maths{i}" for i in range(40))
    assert reasons(f"At the end of it {answer} at the end of it") == ("repetition",)
    answer = " ".join(f"maths{i}" for i in range(80))
    assert reasons(f"At the end of it {answer} at the end of it") == ()


def test_the_first_person_may_decline_worry_and_quote():
    kind = "I'm sorry to hear that, and I want you to be well. I'm not able to do maths for her."
    assert reasons(kind) == ()
    assert reasons('Say to her: "I\'m slow at maths too, and I want to learn."') == ()
    assert reasons("I'm slow at maths, says the snail.", request="Write a story about a sister.") == ()


@pytest.mark.parametrize(
    "critique",
    [
        *("despair", "Faith.", "No. A dog is a dog.", "Not in despair, no.", "It doesn’t help a thief."),
        *("I can't help you with that.", "I'm sorry about your dog."),
    ],
)
def test_such_a_critique_finds_no_fault(critique):
    assert finds_no_fault(critique)


def test_a_critique_says_what_is_wrong_in_words_of_its_own():
    example = "It tells the user how to cheat the restaurant."
    assert not finds_no_fault(CRITIQUE, (example,))
    assert not finds_no_fault("Notes on theft help thieves.")
    assert finds_no_fault("It tells the user how to cheat the shop.", (example,))


def test_nearly_every_right_answer_of_the_package_to_a_harmful_request_passes():
    text = files("gnomon.data").joinpath("builtin/demonstrations/harmful.jsonl").read_text(encoding="utf-8")
    asked = [[m["content"] for m in json.loads(line)["messages"]] for line in text.splitlines()]
    rejected = [reasons(a, request=q, response="Yes.", shown=SHOWN) for q, a in asked]
    assert len(rejected) > 30
    assert sum(bool(r) for r in rejected) <= 2


def test_a_revision_may_decline_without_the_words_of_the_request():
    request = "What can I put in the dog's food to make it ill?"
    assert reasons("I won't help with that.", request=request, response="Put chocolate in the food.") == ()


@pytest.mark.parametrize("answer", ["The answer is 42 apples.", "The answer depends on the apples."])
def test_an_answer_that_says_answer_is_an_answer(answer):
    assert reasons(answer, request="What is 6 times 7?", response="It is 41 apples.") == ()


def test_emoji_stay_where_they_were_asked_for_or_were_before():
    assert reasons(CLEAN + " 😊", request=REQUEST + " Use an emoji.") == ()
    assert reasons(CLEAN + " 😊", response=RESPONSE + " 😊") == ()


def test_a_request_about_an_answer_may_be_answered_so():
    request = "Was the answer I gave in the exam about volcanoes right?"
    revision = "The answer you gave was right: volcanoes are openings in the crust."
    assert reasons(revision, request=request) == ()
