import pytest

from gnomon.errors import DataError
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
    assert JudgeReward(judge, PROMPTS)(samples(1, "a", "b", "c")) == pytest.approx([0.6, 0.35, 0.55])
    assert judge.asked[0] == ("p1", "Say 1", "a", "b")
    assert len(judge.asked) == 3


def test_what_a_judge_gives_no_verdict_on_stops_and_is_never_scored():
    class Silent(LongestWins):
        def prefer(self, comparisons):
            said = super().prefer(comparisons)
            return [
                Abstention("unparsable", ("Verdict: A", "Both are nice.")) if c.id == "p1" else one
                for c, one in zip(comparisons, said, strict=True)
            ]

    reward = JudgeReward(Silent(), PROMPTS, "judge:endpoint:http://h/v1#m")
    with pytest.raises(
        DataError,
        match=r"judge:endpoint:http://h/v1#m gives no verdict \(unparsable\), for answers to the prompts p1: "
        r"it said 'Verdict: A' and 'Both are nice.'",
    ):
        reward([*samples(0, "a", "ab"), *samples(1, "a", "ab", "abc")])
    assert reward(samples(0, "a", "ab")) == [0.0, 1.0]


def test_one_that_is_alone_is_a_half():
    assert JudgeReward(LongestWins(), PROMPTS)(samples(0, "a")) == [0.5]
    assert JudgeReward(LongestWins(), PROMPTS)([]) == []
