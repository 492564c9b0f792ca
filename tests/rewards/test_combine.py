import pytest

from gnomon.config import PolicySettings
from gnomon.models.load import load
from gnomon.models.reward_model import RewardModel, Scorer
from gnomon.records import Conversation, Message
from gnomon.rewards.combine import ModelReward, shaped
from gnomon.rollouts.engine import Sample


def sample(prompt=(2, 50), response=(60, 1), *, ended=True):
    return Sample(prompt, response, (-1.0,) * len(response), "", ended)


def test_nothing_is_taken_off_an_ended_response_by_default():
    assert shaped([0.7], [sample()], PolicySettings()) == [0.7]


def test_a_response_that_does_not_end_costs_and_so_does_each_token():
    settings = PolicySettings(missing_end=1.0, length_penalty=0.25)
    samples = [sample(), sample(ended=False), sample(response=(60, 61, 62, 1))]
    assert shaped([2.0, 2.0, 2.0], samples, settings) == [1.5, 0.5, 1.0]


def test_a_score_too_few_is_an_error():
    with pytest.raises(ValueError, match="longer"):
        shaped([1.0], [sample(), sample()], PolicySettings())


def test_the_reward_reads_exactly_the_ids_that_were_sampled():
    """And they are the ids of the conversation as the reward model was trained on it."""
    lm = load("tiny:0", dtype="float32")
    scorer = Scorer(lm, RewardModel(lm, seed=0))
    talk = Conversation.of("Hi!")
    prompt = tuple(lm.encode_prompt(talk))
    row = lm.encode(talk.then(Message("assistant", "Hello."))).ids
    answer = sample(prompt, row[len(prompt) :])
    (score,) = ModelReward(scorer)([answer])
    assert [score] == pytest.approx(scorer.score([row]), abs=1e-6)
    assert [score] != pytest.approx(scorer.score([prompt]), abs=1e-3)
