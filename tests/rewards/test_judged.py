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
    found = JudgeReward(LongestWins(), PROMPTS)([*samples(0, "a", "abc", "ab"), *samples(1, "abcd", "abcd")])
    assert found == pytest.approx([0.0, 1.0, 0.5, 0.5, 0.5])


def test_probabilities_are_averaged_and_what_is_not_said_is_a_half():
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
            }
            return [
                said.get((answer_text(c.first), answer_text(c.second)), Abstention("none"))
                for c in comparisons
            ]

    judge = Judge()
    assert JudgeReward(judge, PROMPTS)(samples(1, "a", "b", "c")) == pytest.approx([0.6, 0.35, 0.55])
    assert judge.asked[0] == ("p1", "Say 1", "a", "b")
    assert len(judge.asked) == 3


def test_one_that_is_alone_is_a_half():
    assert JudgeReward(LongestWins(), PROMPTS)(samples(0, "a")) == [0.5]
    assert JudgeReward(LongestWins(), PROMPTS)([]) == []
