import pytest
import torch
from architectures import drawn_head

from gnomon.models.critic import Critic, ValueModel
from gnomon.models.load import load
from gnomon.models.reward_model import Scorer

PROMPTS, RESPONSES = [(2, 50, 60), (2, 51)], [(70, 71, 72, 1), (80, 81)]


def critic(outputs=1):
    lm = load("tiny:0", dtype="float32")
    return Critic(lm, ValueModel(lm, outputs))


def test_at_first_nothing_is_expected():
    values = critic(outputs=2).values(PROMPTS, RESPONSES)
    assert [tuple(own.shape) for own in values] == [(4, 2), (2, 2)]
    assert all(torch.equal(own, torch.zeros_like(own)) for own in values)


def test_with_a_reward_model_s_head_it_expects_the_score_of_what_has_been_said():
    """Before each token the score of everything before it, shift and all; nothing of a second thing."""
    it, judge = critic(outputs=2), load("tiny:0", dtype="float32")
    scorer = Scorer(judge, drawn_head(judge))
    with torch.no_grad():
        scorer.model.score.bias.fill_(0.25)
        scorer.model.shift.fill_(1.5)
    it.model.take(scorer.model)
    for prompt, response, values in zip(PROMPTS, RESPONSES, it.values(PROMPTS, RESPONSES), strict=True):
        said = [[*prompt, *response[:k]] for k in range(len(response))]
        assert values[:, 0].tolist() == pytest.approx(scorer.score(said), abs=1e-4)
        assert values[:, 1].tolist() == [0.0] * len(response)


def test_a_row_s_values_do_not_depend_on_its_batch_mates():
    it = critic()
    with torch.no_grad():
        it.model.value.weight.normal_(generator=torch.Generator().manual_seed(0))
    together = it.values(PROMPTS, RESPONSES)
    for prompt, response, values in zip(PROMPTS, RESPONSES, together, strict=True):
        (alone,) = it.values([prompt], [response])
        torch.testing.assert_close(values, alone, rtol=1e-4, atol=1e-5)
