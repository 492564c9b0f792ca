import pytest

from gnomon.judges.judgement import Abstention, Judgement, answer_text
from gnomon.judges.rules import LongestWins
from gnomon.records import Conversation, Prompt
from gnomon.rewards.judged import JudgeReward
from gnomon.rollouts.engine import Sample

PROMPTS = {(2, k): Prompt(f"p{k}", Conversation.of(f"Say {k}")) for k in range(2)}


def samples(prompt, *texts):
    return [Sample((2, prompt), (60, 1), (-1.0, -1.0), text, ended=True) for text in texts]


def test_a_sample_is_worth_the_share_of_its_prompt_s_others_that_it_beats():
    """The longest of three beats two, the next one; prompts do not mix; equal texts are a half."""
    told = JudgeReward(LongestWins(), PROMPTS, 3)
    found = told([*samples(0, "a", "abc", "ab"), *samples(1, "abcd", "a", "abcd")])
    assert found == pytest.approx([0.0, 1.0, 0.5, 0.75, 0.0, 0.75])


def test_a_prompt_that_comes_twice_is_compared_as_twice_wherever_its_samples_are():
    """An epoch ends with it and the next begins: one process has both groups, or two have one each."""
    reward = JudgeReward(LongestWins(), PROMPTS, 2)
    first, second = samples(0, "a", "ab"), samples(0, "abc", "abcd")
    assert reward([*first, *second]) == [*reward(first), *reward(second)] == [0.0, 1.0] * 2


def test_probabilities_are_averaged():
    class Judge:
        ordered, probabilistic = True, True

        def __init__(self):
            self.asked = []

        def prefer(self, comparisons):
            self.asked += [
                (c.id, c.prompt.messages[-1].content, answer_text(c.first), answer_text(c.second))
                for c in comparisons
            ]
            said = {
                ("a", "b"): Judgement.of(0.9, 0.7, "quality"),
                ("a", "c"): Judgement.of(0.4, 0.4, "quality"),
                ("b", "c"): Judgement.of(0.5, 0.5, "quality"),
            }
            return [said[answer_text(c.first), answer_text(c.second)] for c in comparisons]

    judge = Judge()
    assert JudgeReward(judge, PROMPTS, 3)(samples(1, "a", "b", "c")) == pytest.approx([0.6, 0.35, 0.55])
    assert judge.asked[0] == ("p1", "Say 1", "a", "b")
    assert len(judge.asked) == 3


class Silent(LongestWins):
    """Says nothing of pairs with one of some answers."""

    def __init__(self, *answers):
        self.answers = set(answers)

    def prefer(self, comparisons):
        said = super().prefer(comparisons)
        return [
            Abstention("unparsable", ("Verdict: A", "Both are nice."))
            if self.answers <= {answer_text(c.first), answer_text(c.second)}
            else one
            for c, one in zip(comparisons, said, strict=True)
        ]


@pytest.mark.mistake("silence-scored")
def test_a_pair_without_a_verdict_is_a_half_for_both_and_told_of():
    """Both beat a, and which of them is the better nobody knows. A prompt still adds up to half of three."""
    told = JudgeReward(Silent("ab", "abc"), PROMPTS, 3).told(samples(1, "a", "ab", "abc"))
    assert [one.value for one in told] == [0.0, 0.75, 0.75]
    assert [one.read for one in told] == [2, 1, 1]
    said = ("'Verdict: A' and 'Both are nice.'",)
    assert [one.unread for one in told] == [(), said, said]


@pytest.mark.mistake("silence-scored")
def test_a_sample_without_any_verdict_is_the_mean_of_the_others_of_its_prompt():
    told = JudgeReward(Silent("abc"), PROMPTS, 3)
    found = told([*samples(0, "a", "ab", "abcd"), *samples(1, "a", "abc", "ab")])
    assert found == [0.0, 0.5, 1.0, 0.25, 0.5, 0.75]


def test_one_that_is_alone_is_a_half():
    assert JudgeReward(LongestWins(), PROMPTS, 1)(samples(0, "a")) == [0.5]
    assert JudgeReward(LongestWins(), PROMPTS, 1)([]) == []
