import math

import pytest
import torch

from gnomon.judges.direct import (
    NUMBERS,
    Asked,
    contrast_grade,
    local_rates,
    mean_rating,
    rating_grade,
    rating_request,
)
from gnomon.judges.judgement import Criterion, sigmoid
from gnomon.judges.pairwise import contrast_judge, framed
from gnomon.models.load import load
from gnomon.records import Comparison, Conversation, Label, Message

KIND = Criterion("kind", "The answer is kind.", "Which answer is kinder?")
PROMPT = Conversation.of("How did I do?")
ANSWERS = ("Well done.", "Too slow, as ever.", "Hm.")


@pytest.fixture(scope="module")
def lm():
    return load("tiny:0", dtype="float64")


def asked(*answers, ended=True):
    return [Asked(PROMPT, answer, KIND, ended) for answer in answers]


def logps(lm, ids):
    """Of each token after the first, by the model's own logits of the row alone."""
    with torch.no_grad():
        told = torch.log_softmax(lm.model(input_ids=torch.tensor([ids])).logits[0, :-1], dim=-1)
    return told[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]


@pytest.mark.mistake("kept-for-broken")
@pytest.mark.parametrize("ended", [True, False])
def test_contrast_is_the_log_ratio_of_the_answer_under_both_framings(lm, ended):
    """Above 0 where it is likelier with the principle asked for; an answer that was cut off has no end."""
    for answer, found in zip(ANSWERS, contrast_grade(lm)(asked(*ANSWERS, ended=ended)), strict=True):
        totals = []
        for affirm in (True, False):
            talk = framed(PROMPT, KIND, affirm=affirm)
            ids = list(lm.encode(talk.then(Message("assistant", answer))).ids)
            assert ids[-1] in lm.stop_ids
            ids = ids if ended else ids[:-1]
            totals.append(float(logps(lm, ids)[len(lm.encode_prompt(talk)) - 1 :].sum()))
        assert abs(totals[0] - totals[1]) > 1e-3
        assert found == pytest.approx(totals[0] - totals[1], abs=1e-5)


def test_the_difference_of_two_contrasts_is_what_the_judge_of_pairs_says(lm):
    first, second = contrast_grade(lm)(asked(*ANSWERS[:2]))
    pair = Comparison.of("c", PROMPT, *ANSWERS[:2], Label(0.5, "person"))
    (said,) = contrast_judge(lm, lambda pair: KIND).prefer([pair])
    assert said.preference == pytest.approx(sigmoid(first - second), abs=1e-6)


@pytest.mark.parametrize("method", ["contrast", "rating"])
def test_a_grade_does_not_depend_on_what_else_is_asked(lm, method):
    grade = contrast_grade(lm) if method == "contrast" else rating_grade(local_rates(lm))
    together = grade([*asked(*ANSWERS), Asked(Conversation.of("And you?"), "Fine.", KIND)])
    alone = [grade(asked(answer))[0] for answer in ANSWERS]
    assert together[:3] == pytest.approx(alone, abs=1e-6)
    assert len(set(together)) == 4


def ratings(lm):
    return rating_grade(local_rates(lm))


@pytest.mark.parametrize(("build", "times", "most"), [(contrast_grade, 2, 0.5), (ratings, 10, 0.2)])
def test_what_requests_share_is_read_once(lm, build, times, most):
    """Of four answers to a long prompt: a framing with the prompt for all, a request for all ten numbers."""
    long = Conversation.of("How did I do in all of this? " * 8)
    rows = [Asked(long, answer, KIND) for answer in ("Well.", "So so.", "Hm.", "No.")]
    grade, read = build(lm), []
    grade(rows[:1])
    inputs = lm.model.get_input_embeddings()
    hook = inputs.register_forward_hook(lambda module, given, made: read.append(given[0].numel()))
    grade(rows)
    hook.remove()
    apart = times * sum(len(lm.encode_prompt(long)) + len(row.answer) for row in rows)
    assert 0 < sum(read) < most * apart


@pytest.mark.mistake("kept-for-broken")
def test_a_rating_is_the_mean_of_ten_brought_to_lie_between_one_and_minus_one():
    """Sure of 10 is 1, of 1 is -1; 9 by 3 to 1 over 5 is 8 on average, which is 7 ninths of the way up."""

    def at(**shares):
        return [math.log(shares.get(f"n{number}", 1e-30)) for number in range(1, 11)]

    assert mean_rating(at(n10=1)) == pytest.approx(1.0)
    assert mean_rating(at(n1=1)) == pytest.approx(-1.0)
    assert mean_rating([-3.0] * 10) == pytest.approx(0.0)
    assert mean_rating(at(n9=0.3, n5=0.1)) == pytest.approx(2 * 7 / 9 - 1)


def test_likelihoods_of_numbers_are_those_of_the_whole_reply_and_ten_is_no_one(lm):
    talk = Conversation.of("From 1 to 10?")
    (told,) = local_rates(lm)([talk])
    for number, found in zip(NUMBERS, told, strict=True):
        ids = list(lm.encode(talk.then(Message("assistant", number))).ids)
        own = logps(lm, ids)[len(lm.encode_prompt(talk)) - 1 :]
        assert ids[-1] in lm.stop_ids
        assert found == pytest.approx(float(own.sum()), abs=1e-5)
    shared = sum(map(math.exp, told))
    assert shared < 1  # they are ways for a reply to be, and exclude each other


def test_what_tells_no_number_has_no_grade():
    grade = rating_grade(lambda requests: [(), [0.0] * 10])
    assert grade(asked("a", "b")) == [None, pytest.approx(0.0)]


def test_the_request_shows_the_answer_and_the_rule_in_this_order():
    request = rating_request(asked("Well done.")[0])
    places = [request.index(text) for text in ("How did I do?", "Well done.", KIND.text, "from 1", "to 10")]
    assert places == sorted(places)
    assert KIND.question not in request
