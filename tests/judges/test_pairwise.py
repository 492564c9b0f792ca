import math
from dataclasses import replace

import pytest
import torch

from gnomon.judges.judgement import Criterion, flip_rate
from gnomon.judges.pairwise import (
    ContrastJudge,
    MultipleChoiceJudge,
    choice_request,
    contrast_judge,
    framed,
    multiple_choice_judge,
)
from gnomon.models.load import load
from gnomon.records import Comparison, Conversation, Label, Message

KIND = Criterion("kind", "The answer is kind.", "Which answer is kinder?")


def pair(first="Well done.", second="Too slow.", name="c"):
    return Comparison.of(name, Conversation.of("How did I do?"), first, second, Label(1.0, "constructed"))


def always_kind(comparison):
    return KIND


def letters(says):
    """A judge whose model gives log-odds of A over B for each request, as `says` has them."""

    def choice(requests, choices):
        assert choices == (65, 66)
        return [[says(bytes(r).decode()), 0.0] for r in requests]

    return MultipleChoiceJudge(always_kind, lambda text: list(text.encode()), (65, 66), choice)


def test_both_orders_are_averaged():
    def says(request):  # 3 to 1 for A when the kind answer is A, even when it is B
        return math.log(3) if "(A) Well done." in request else 0.0

    (judgement,) = letters(says).prefer([pair()])
    assert judgement.first_order == pytest.approx(0.75)
    assert judgement.second_order == pytest.approx(0.5)
    assert judgement.preference == pytest.approx(0.625)
    assert judgement.criterion == "kind"


def test_only_the_log_odds_of_the_two_letters_count():
    judge = letters(lambda _: 0.0)
    shifted = replace(
        judge, choice=lambda requests, _: torch.tensor([[-9.0, -9.0 - math.log(4)]] * len(requests))
    )
    (judgement,) = shifted.prefer([pair()])
    assert judgement.first_order == pytest.approx(0.8)
    assert judgement.second_order == pytest.approx(0.2)


def test_a_judge_that_always_says_a_has_no_preference_and_always_flips():
    judgements = letters(lambda _: 5.0).prefer([pair(), pair("x", "y")])
    assert [j.preference for j in judgements] == [pytest.approx(0.5)] * 2
    assert [j.verdict for j in judgements] == [0.5, 0.5]
    assert flip_rate(judgements) == 1


def test_a_judge_that_reads_the_answers_does_not_flip():
    judge = letters(lambda request: 2.0 if "(A) Well done." in request else -2.0)
    judgements = judge.prefer([pair(), pair().swap()])
    assert judgements[0].preference > 0.85
    assert judgements[1].preference == pytest.approx(1 - judgements[0].preference)
    assert flip_rate(judgements) == 0


def test_the_request_shows_both_answers_by_letter_and_never_the_label():
    assert choice_request(pair(), KIND) == (
        "Request: How did I do?\n\n(A) Well done.\n\n(B) Too slow.\n\n"
        "Which answer is kinder? Reply with (A) or (B)."
    )


def test_contrast_weighs_each_answer_under_both_framings():
    said = {  # log-probs of the answers' tokens where kindness is asked for, and where it is broken
        ("Keep", "Well done."): [-1.0, -1.0],
        ("Go", "Well done."): [-2.0, -2.0],
        ("Keep", "Too slow."): [-3.0],
        ("Go", "Too slow."): [-2.5],
    }

    def encode(prompt, answer):
        return [prompt.messages[0].content.split()[0]], [answer[0].content]

    def logps(prompts, answers):
        return [said[p[0], a[0]] for p, a in zip(prompts, answers, strict=True)]

    judge = ContrastJudge(always_kind, encode, logps)
    (judgement,) = judge.prefer([pair()])
    assert judgement.preference == pytest.approx(1 / (1 + math.exp(-2.5)))  # 2.0 - (-0.5)
    assert judgement.first_order == judgement.second_order
    (swapped,) = judge.prefer([pair().swap()])
    assert swapped.preference == pytest.approx(1 - judgement.preference)


def test_far_apart_answers_give_one_and_zero_not_an_error():
    judge = letters(lambda request: 1e4 if "(A) Well done." in request else -1e4)
    assert [j.preference for j in judge.prefer([pair(), pair().swap()])] == [1.0, 0.0]


def test_a_framing_joins_the_system_message_that_is_there():
    prompt = Conversation.of("Hello?", system="You are a baker.")
    assert framed(prompt, KIND, affirm=False).messages == (
        Message("system", "You are a baker.\n\nGo against this rule in your answer: The answer is kind."),
        Message("user", "Hello?"),
    )


@pytest.mark.parametrize("build", [multiple_choice_judge, contrast_judge])
def test_a_real_model_judges_the_same_whatever_stands_first(build):
    lm = load("tiny:0", dtype="float32")
    pairs = [pair(), pair("Some words more than the other.", "No.", "d")]
    judge = build(lm, always_kind)
    together = judge.prefer([*pairs, *(p.swap() for p in pairs)])
    for judgement, swapped in zip(together[:2], together[2:], strict=True):
        assert 0 < judgement.preference < 1
        assert judgement.preference != 0.5
        assert judgement.preference == pytest.approx(1 - swapped.preference, abs=1e-5)
    assert judge.prefer([pairs[1]])[0].preference == pytest.approx(together[1].preference, abs=1e-5)


def test_nothing_to_judge_gives_nothing():
    assert letters(lambda _: 0.0).prefer([]) == []
    assert ContrastJudge(always_kind, lambda *_: ([], []), lambda *_: []).prefer([]) == []
