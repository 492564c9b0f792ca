import math
from itertools import pairwise

import pytest
from labellers import KIND, SHORT, THREE, TRUE, pairs, sigmoid

from gnomon.config import ConstitutionSettings
from gnomon.constitution.direct import ConstitutionReward, DirectScorer, Held
from gnomon.constitution.gate import measure
from gnomon.constitution.labeller import Who
from gnomon.constitution.principles import Constitution
from gnomon.judges.direct import rating_grade
from gnomon.judges.judgement import Abstention
from gnomon.records import Conversation, Prompt
from gnomon.rollouts.engine import Sample
from gnomon.settings.feedback import DirectSettings

PROMPTS = {(2, k): Prompt(f"p{k}", Conversation.of(f"Say {k}")) for k in range(40)}
WORTH = {"kind": 3.0, "true": 1.0, "short": -0.5}


class Grades:
    """A labeller played by a function of what is asked, and what it was asked."""

    def __init__(self, grade):
        self.grade, self.asked = grade, []

    def __call__(self, asked):
        self.asked += asked
        return [self.grade(one) for one in asked]


def scorer(grade, *, constitution=THREE, seed=0, **settings):
    return DirectScorer(
        Who("teacher", "planted"), Grades(grade), constitution, DirectSettings(**settings), seed
    )


def samples(*prompts):
    return [Sample((2, k), (60, 1), (-1.0, -1.0), f"said {i}", ended=True) for i, k in enumerate(prompts)]


def drawn(reward, prompts):
    """The principles that answers to the prompts are held against."""
    grades = reward.scorer.grade
    grades.asked = []
    reward(samples(*prompts))
    return [one.criterion.id for one in grades.asked]


def test_samples_of_a_prompt_are_held_against_one_principle_and_other_prompts_against_others():
    reward = ConstitutionReward(scorer(lambda one: 0.0), PROMPTS, 3, "3")
    own = drawn(reward, [k for k in range(40) for _ in range(3)])
    assert all(len(set(own[start : start + 3])) == 1 for start in range(0, 120, 3))
    assert set(own) == {"kind", "true", "short"}
    assert own[::3].count("short") > own[::3].count("kind")  # its weight is twice the others'


def test_principles_are_drawn_by_seed_batch_and_prompt_and_by_nothing_else():
    """Asked again, in another order, with other prompts beside: the same; in another batch or run: others."""
    reward = ConstitutionReward(scorer(lambda one: 0.0), PROMPTS, 1)
    first = drawn(reward.at("3"), range(40))
    drawn(reward.at("5"), range(7))
    assert drawn(reward.at("3"), range(40)) == first
    assert drawn(reward.at("3"), reversed(range(40))) == first[::-1]
    assert drawn(reward.at("3"), range(20, 40)) == first[20:]
    other = ConstitutionReward(scorer(lambda one: 0.0, seed=1), PROMPTS, 1)
    batches = [first, drawn(reward.at("4"), range(40)), drawn(reward.at("3/1"), range(40))]
    assert all(one != two for one, two in pairwise([*batches, drawn(other.at("3"), range(40)), first]))


def test_which_principle_is_drawn_hangs_on_the_order_of_the_file_alone():
    again = Constitution(name="other", version=7, principles=(KIND, TRUE, SHORT))
    one, two = (ConstitutionReward(scorer(lambda a: 0.0, constitution=c), PROMPTS, 1) for c in (THREE, again))
    assert drawn(one.at("3"), range(40)) == drawn(two.at("3"), range(40))


def test_an_ensemble_pays_the_mean_of_its_principles():
    reward = ConstitutionReward(scorer(lambda one: WORTH[one.criterion.id], ensemble=3), PROMPTS, 1)
    assert reward(samples(0, 1)) == pytest.approx([3.5 / 3, 3.5 / 3])
    reward = ConstitutionReward(scorer(lambda one: WORTH[one.criterion.id]), PROMPTS, 1)
    assert reward(samples(0)) == [WORTH[drawn(reward, [0])[0]]]


def test_each_sample_is_read_with_its_own_prompt_and_its_end():
    reward = ConstitutionReward(scorer(lambda one: float(one.prompt.text.split()[1])), PROMPTS, 1)
    assert reward(samples(4, 9, 4)) == [4.0, 9.0, 4.0]
    cut = Sample((2, 4), (60,), (-1.0,), "said", ended=False)
    reward([cut])
    assert [one.ended for one in reward.scorer.grade.asked[-2:]] == [True, False]
    assert reward.scorer.grade.asked[-1].answer == "said"


@pytest.mark.mistake("silence-scored")
def test_what_no_number_is_said_of_has_the_mean_of_its_prompt_and_is_told_of():
    worth = {"said 0": 1.0, "said 2": 2.0}
    reward = ConstitutionReward(scorer(lambda one: worth.get(one.answer)), PROMPTS, 3)
    for second in (2, 1):  # another prompt, or the same one once more
        told = reward.told(samples(1, 1, 1, *[second] * 3))
        assert [one.value for one in told] == [1.0, 1.5, 2.0, 0.0, 0.0, 0.0]
        assert [one.read for one in told] == [1, 0, 1, 0, 0, 0]
        assert [one.unread for one in told[:3]] == [(), ("no number",), ()]
    known = {"kind": 1.0, "true": None, "short": 1.0}
    (one,) = ConstitutionReward(scorer(lambda one: known[one.criterion.id], ensemble=3), PROMPTS, 1).told(
        samples(1)
    )
    assert one.unread  # one principle of several is enough


def test_a_process_without_samples_asks_nothing():
    assert ConstitutionReward(scorer(lambda one: 1 / 0), PROMPTS, 1)([]) == []


@pytest.mark.mistake("kept-for-broken")
def test_as_a_judge_it_prefers_the_answer_that_scores_higher_wherever_it_stands():
    def grade(one):
        return 1.5 if one.answer.startswith("good") else -0.5

    rows = pairs(4)
    said = scorer(grade).prefer(rows)
    assert [one.preference for one in said] == pytest.approx([sigmoid(2.0), sigmoid(-2.0)] * 2)
    assert not any(one.flips for one in said)
    said = scorer(lambda one: grade(one) / 2, method="rating").prefer(rows)
    assert [one.preference for one in said] == pytest.approx([0.75, 0.25] * 2)
    assert {one.criterion for one in said} <= {"kind", "true", "short"}
    silent = scorer(lambda one: None if one.answer.startswith("bad") else 1.0).prefer(rows[:1])
    assert silent == [Abstention("no number")]


@pytest.mark.mistake("kept-for-broken")
def test_the_gate_lets_in_who_scores_the_better_answer_higher_and_nobody_else():
    """Who takes the answers that break the principle for those that keep it is the surest of all, and out."""
    settings, rows = ConstitutionSettings(), pairs(96)

    def found(grade):
        return measure(scorer(grade), rows, settings)

    right = found(lambda one: 1.0 if one.answer.startswith("good") else 0.0)
    swapped = found(lambda one: -1.0 if one.answer.startswith("good") else 0.0)
    blind = found(lambda one: 0.5)
    assert (right.passed, right.accuracy.value) == (True, 1.0)
    assert (swapped.passed, swapped.accuracy.value) == (False, 0.0)
    assert (blind.passed, blind.accuracy.value) == (False, 0.5)


def test_ratings_go_through_the_same_gate():
    def rates(requests):
        best = [9 if "Answer: good" in talk.text else 4 for talk in requests]
        return [[0.0 if number == top else -9.0 for number in range(1, 11)] for top in best]

    own = DirectScorer(Who("teacher", "m"), rating_grade(rates), THREE, DirectSettings(method="rating"))
    low, high = own.scores([Held("a", Conversation.of("Hi"), text) for text in ("bad 1", "good 1")])
    rest = math.exp(-9)
    mean = (9 + rest * (55 - 9)) / (1 + 9 * rest)
    assert high == pytest.approx(2 * (mean - 1) / 9 - 1)
    assert low < 0 < high
    assert measure(own, pairs(96), ConstitutionSettings()).passed
