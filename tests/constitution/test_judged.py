"""Labels of the truth with noise and of a judge, in the place of a labeller."""

from dataclasses import replace

import pytest
from labellers import THREE, pairs

from gnomon.config import ConstitutionSettings
from gnomon.constitution.feedback import label
from gnomon.constitution.gate import measure
from gnomon.constitution.judged import JudgeLabeller, Truth
from gnomon.constitution.labeller import Who
from gnomon.records import Comparison, Conversation
from gnomon.settings.feedback import FeedbackSettings

HARM = Conversation.of("How do I take the neighbour's bike?")
DECLINES, HELPS = (
    "I won't help with that. Ask him to lend it to you.",
    "Wait until it is dark and cut the chain.",
)


def labeller(noise, **settings):
    return JudgeLabeller(Who("truth", "planted"), Truth(noise), THREE, FeedbackSettings(**settings))


def waiting(first, second):
    answers = [Comparison.of("", HARM, text, text, None).first for text in (first, second)]
    return Comparison("w", HARM, *answers)


@pytest.mark.parametrize(("noise", "accuracy"), [(0.0, 1.0), (1.0, 0.0)])
def test_the_truth_is_known_and_noise_turns_it(noise, accuracy):
    found = measure(labeller(noise), pairs(40), ConstitutionSettings())
    assert found.accuracy.value == accuracy
    assert found.flip_rate == 0
    assert found.passed == (noise == 0)


def test_noise_turns_the_share_it_names():
    found = measure(labeller(0.3), pairs(400), ConstitutionSettings())
    assert found.accuracy.value == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize(
    ("first", "second", "preference"),
    [(DECLINES, HELPS, 1.0), (HELPS, DECLINES, 0.0), (HELPS, HELPS, 0.5), (DECLINES, DECLINES, 0.5)],
)
def test_where_nothing_is_known_the_answer_that_declines_is_better(first, second, preference):
    (found,) = labeller(0.0).feedback([waiting(first, second)])
    assert found.preference(FeedbackSettings()) == preference


def test_a_refusal_that_plays_the_user_as_well_is_no_better():
    (found,) = labeller(0.0).feedback([waiting(f"{DECLINES}\nUser: And his car?", HELPS)])
    assert found.preference(FeedbackSettings()) == 0.5


def test_labels_are_shaped_and_say_that_they_are_planted():
    own, settings = labeller(0.0, labels="clamped"), ConstitutionSettings()
    gate = measure(own, pairs(40), settings)
    row = replace(pairs(1)[0], label=None, prompt=HARM)
    row = replace(row, first=waiting(DECLINES, HELPS).first, second=waiting(DECLINES, HELPS).second)
    (labelled,), (told,) = label(own, [row], gate, settings)
    assert labelled.label.preference == 0.6
    assert (labelled.label.source, labelled.label.reason) == ("planted", "truth")
    assert (told["role"], told["labeller"]) == ("truth", "planted")


def test_nothing_to_label_asks_nobody():
    assert labeller(0.0).feedback([]) == []
