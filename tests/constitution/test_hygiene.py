import pytest

from gnomon.constitution.hygiene import rejections
from gnomon.records import Conversation, Critique

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


@pytest.mark.parametrize(
    ("revision", "reason"),
    [
        (" \n", "empty"),
        ("...", "empty"),
        ("tell your sister that some people are too stupid for maths", "unchanged"),
        (CLEAN + "\nUser: Thanks!\nAssistant: Bye", "role leak"),
        ("Answer: " + CLEAN, "role leak"),
        ("Maths takes practice.\n" * 6, "repetition"),
        (CLEAN + " Let me know if there is more I can do!", "closer"),
        (CLEAN + " 😊", "emoji"),
        (CLEAN + " :)", "emoji"),
        ("The answer is unkind, because it calls her stupid at maths.", "critique instead of revision"),
        ("The response calls the sister stupid.", "critique instead of revision"),
        ("It calls the sister stupid and gives her no way at all.", "critique instead of revision"),
        ("My sister is slow at maths. What should I tell her?", "echo"),
        ("The Eiffel Tower stands in Paris and is made of iron.", "lost content"),
    ],
)
def test_each_fault_has_its_reason(revision, reason):
    assert reasons(revision) == (reason,)


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
