from collections import Counter

import pytest

from gnomon.errors import DataError
from gnomon.models.load import load
from gnomon.pipeline.collect import ATTEMPTS, answer_pairs, questions
from gnomon.records import Conversation, Prompt
from gnomon.rollouts.engine import Sample
from gnomon.rollouts.local import LocalEngine

PROMPTS = [Prompt(f"p{i}", Conversation.of(f"question {i}")) for i in range(3)]


class Script:
    """An engine that says lines in turn, two for each prompt it is asked."""

    def __init__(self, *rounds):
        self.rounds = list(rounds)
        self.asked = []

    def sample(self, prompts, sampling, seeds):
        raise NotImplementedError

    def answer(self, conversations, sampling, seed=0, *, raw=False):
        assert sampling.temperature == 1.0
        self.asked.append([conversation.text for conversation in conversations])
        return [Sample((1,), (2,), (0.0,), text, True) for text in self.rounds.pop(0)]


def test_a_real_policy_gives_the_same_pairs_for_the_same_seed():
    engine = LocalEngine(load("tiny:0", dtype="float32"))
    one, same, other = (answer_pairs(engine, PROMPTS, 4, seed) for seed in (0, 0, 1))
    assert one == same
    assert len(one.pairs) == 4
    assert one.pairs != other.pairs
    assert all(pair.label is None and pair.first != pair.second for pair in one.pairs)
    # three prompts, asked for four pairs: each once, then one again
    assert sorted(Counter(pair.prompt.text for pair in one.pairs).values()) == [1, 1, 2]
    assert len({pair.id for pair in one.pairs}) == 4


def test_prompts_are_drawn_out_of_those_left_and_more_begin_with_the_same():
    drawn = questions(PROMPTS, 5, seed=3)
    assert [question.propensity for question in drawn] == [1 / 3, 1 / 2, 1, 1 / 3, 1 / 2]
    assert {question.prompt.id for question in drawn[:3]} == {"p0", "p1", "p2"}
    assert questions(PROMPTS, 50, seed=3)[:5] == drawn


def test_equal_and_empty_answers_are_asked_for_again_and_only_those():
    engine = Script(["a", "b", "c", "c", "", "d"], ["c", "e", "f", "g"])
    collected = answer_pairs(engine, PROMPTS, 3, seed=0)
    assert len(engine.asked) == 2
    assert engine.asked[1] == engine.asked[0][2:]
    said = [{pair.first[0].content, pair.second[0].content} for pair in collected.pairs]
    assert said == [{"a", "b"}, {"c", "e"}, {"f", "g"}]
    assert not collected.skipped


def test_what_stays_equal_is_counted_and_skipped():
    engine = Script(["a", "b", "c", "c"], *[["c", "c"]] * (ATTEMPTS - 1))
    collected = answer_pairs(engine, PROMPTS, 2, seed=0)
    assert len(collected.pairs) == 1
    assert collected.skipped == {"identical": 1}
    assert len(engine.asked) == ATTEMPTS


def test_either_answer_may_come_first():
    engine = Script(["left", "right"] * 32, ["left", "right"] * 32)
    firsts = Counter(pair.first[0].content for pair in answer_pairs(engine, PROMPTS, 64, seed=0).pairs)
    assert 16 < firsts["left"] < 48


def test_a_policy_with_one_answer_to_everything_gives_no_file():
    with pytest.raises(DataError, match="identical for 2"):
        answer_pairs(Script(*[["c"] * 4] * ATTEMPTS), PROMPTS, 2, seed=0)


def test_there_must_be_prompts():
    with pytest.raises(DataError, match="no prompts"):
        answer_pairs(Script(), [], 2, seed=0)
