import math

import numpy as np
import pytest
import torch
from architectures import drawn_head

from gnomon.models.load import load
from gnomon.models.reward_model import RewardModel, Score, Scorer
from gnomon.records import Conversation, Message
from gnomon.rewards.combine import (
    ModelReward,
    Said,
    Term,
    Terms,
    Verified,
    bounded,
    conservative,
    length_neutral,
    shaped,
)
from gnomon.rewards.told import Told
from gnomon.rollouts.engine import Sample
from gnomon.settings.policy import EnsembleSettings, PolicySettings, RewardTerm


def sample(prompt=(2, 50), response=(60, 1), *, ended=True):
    return Sample(prompt, response, (-1.0,) * len(response), "", ended)


PLAIN = PolicySettings(score_bound=None, length_neutral=False, missing_end=1.0)


def test_nothing_is_taken_off_an_ended_response_by_plain_settings():
    assert shaped([0.7], [sample()], PLAIN) == [0.7]


@pytest.mark.mistake("score-after-the-end")
def test_a_response_that_does_not_end_costs_and_so_does_each_token():
    settings = PLAIN.model_copy(update={"length_penalty": 0.25})
    samples = [sample(), sample(ended=False), sample(response=(60, 61, 62, 1))]
    assert shaped([2.0, 2.0, 2.0], samples, settings) == [1.5, 0.5, 1.0]


def test_a_score_too_few_is_an_error():
    with pytest.raises(ValueError, match="longer"):
        shaped([1.0], [sample(), sample()], PLAIN)


def test_a_bounded_score_keeps_its_order_and_its_slope_at_zero():
    scores = [-50.0, -3.0, -0.01, 0.0, 0.01, 3.0, 50.0]
    found = bounded(scores, 3.0)
    assert found == sorted(found)
    assert found[2:5] == pytest.approx([-0.01, 0.0, 0.01], rel=1e-4)
    assert found[5] == pytest.approx(3 * math.tanh(1))
    assert (found[0], found[-1]) == pytest.approx((-3.0, 3.0))


def test_length_alone_is_worth_nothing_and_content_is_worth_as_much():
    lengths = [3, 7, 15, 31, 3, 7, 15, 31]
    quality = np.array([1, -1, -1, 1, 0.5, -0.5, -0.5, 0.5])  # unrelated to length within each prompt
    prompts = np.array([5.0] * 4 + [-5.0] * 4)
    scores = prompts + quality + 2.0 * np.log1p(lengths)
    expected = prompts + quality + 2.0 * np.log1p(lengths).mean()
    assert length_neutral(list(scores), lengths, 4) == pytest.approx(list(expected))


def test_responses_of_one_length_keep_their_scores():
    assert length_neutral([1.0, 2.0], [9, 9], 2) == [1.0, 2.0]


def test_samples_of_one_score_are_not_told_apart_by_what_length_is_worth_elsewhere():
    """Nor do they make it worth less there: a slope of 2, whatever stands beside."""
    lengths, log = [3, 7, 3, 7], np.log1p([3, 7])
    found = length_neutral([0.5, 0.5, *(2.0 * log)], lengths, 2)
    assert found == pytest.approx([0.5, 0.5, *[2.0 * log.mean()] * 2])
    assert found[0] == found[1]
    assert length_neutral([0.1] * 4, lengths, 2) == [0.1] * 4


def test_both_guards_come_before_the_penalties():
    samples = [sample(response=(60, 61, 1)), sample(response=(60, 61, 1), ended=False)]
    settings = PolicySettings(samples=2, score_bound=1.0, optim={"batch_size": 2})
    assert shaped([90.0, 90.0], samples, settings) == pytest.approx([1.0, 0.0])


def test_a_sample_is_paid_for_the_share_of_its_prompt_s_checks_that_it_passes():
    checks = ({"kind": "words", "max": 2}, {"kind": "contains_any", "values": ["yes"]})
    verified = Verified({(2, 50): checks, (2, 52): ()})
    told = [
        Sample((2, 50), (60, 1), (-1.0,) * 2, text, True)
        for text in ("Yes.", "Yes, it is.", "It is not.", "")
    ]
    other = [Sample(prompt, (60, 1), (-1.0,) * 2, "Yes.", True) for prompt in ((2, 51), (2, 52))]
    assert verified([*told, *other]) == [1.0, 0.5, 0.0, 0.0, None, None]


@pytest.mark.mistake("scored-on-other-ids")
def test_the_reward_reads_exactly_the_ids_that_were_sampled():
    """And they are the ids of the conversation as the reward model was trained on it."""
    lm = load("tiny:0", dtype="float32")
    scorer = Scorer(lm, drawn_head(lm))
    talk = Conversation.of("Hi!")
    prompt = tuple(lm.encode_prompt(talk))
    row = lm.encode(talk.then(Message("assistant", "Hello."))).ids
    answer = sample(prompt, row[len(prompt) :])
    (score,) = ModelReward(scorer)([answer])
    assert [score] == pytest.approx(scorer.score([row]), abs=1e-6)
    assert [score] != pytest.approx(scorer.score([prompt]), abs=1e-3)


@pytest.mark.parametrize(
    ("own", "worth"),
    [
        ({"combine": "mean"}, 2.0),
        ({"combine": "worst"}, 0.0),
        ({"combine": "mean_minus_std", "caution": 0.25}, 2.0 - 0.25 * math.sqrt(8 / 3)),
        ({"combine": "mean_minus_variance", "caution": 0.25}, 2.0 - 0.25 * 8 / 3),
    ],
)
def test_members_that_disagree_are_worth_less_and_cost_more(own, worth):
    settings = EnsembleSettings(**own)
    for cost, wanted in ((False, worth), (True, 4.0 - worth)):  # members are as far below 2 as above
        assert conservative(Score((0.0, 2.0, 4.0)), settings, cost=cost) == pytest.approx(wanted)
        assert conservative(Score((1.7,)), settings, cost=cost) == 1.7
        assert conservative(Score((1.5, 1.5)), settings, cost=cost) == 1.5


def test_the_published_caution_of_ppo_is_taken_off_the_variance():
    """UWO's lambda, 0.1 in PPO; the paper's best-of-n has 0.5."""
    scores = Score((0.0, 2.0, 4.0))
    assert conservative(scores, EnsembleSettings(combine="mean_minus_variance")) == pytest.approx(
        2 - 0.1 * 8 / 3
    )
    assert conservative(scores, EnsembleSettings(combine="mean_minus_std")) == pytest.approx(
        2 - 0.5 * math.sqrt(8 / 3)
    )


def ensemble(seed):
    """Three heads on the tiny model, of several minds."""
    lm = load("tiny:0", dtype="float32")
    model = RewardModel(lm, heads=3)
    torch.nn.init.normal_(model.score.weight, std=0.3, generator=torch.Generator().manual_seed(seed))
    return Scorer(lm, model)


def test_how_far_the_members_differ_is_told_whatever_is_paid():
    scorer, rows = ensemble(1), [sample(), sample(response=(70, 1))]
    scores = scorer.scores([[*row.prompt_ids, *row.response_ids] for row in rows])
    terms = Terms.of(ModelReward(scorer, EnsembleSettings(combine="worst")))
    assert [said.spread for said in terms(rows)] == pytest.approx([s.uncertainty for s in scores], abs=1e-6)
    assert [said.values for said in terms(rows)] == [pytest.approx((s.lowest,), abs=1e-6) for s in scores]


def test_the_spread_of_a_sum_is_by_weights_of_ensembles_that_err_apart():
    first, other = ModelReward(ensemble(1)), ModelReward(ensemble(2))
    alone = [Terms.of(reward)([sample()])[0].spread for reward in (first, other)]
    weighed = [
        Term(RewardTerm(source="model", name=name, **own), reward)
        for name, own, reward in (
            ("one", {"weight": 3}, first),
            ("other", {"weight": -0.5}, other),
            ("limit", {"at_most": 1}, other),
            ("plain", {}, lambda samples: [7.0]),
        )
    ]
    (said,) = Terms(tuple(weighed))([sample()])
    assert said.spread == pytest.approx(math.hypot(3 * alone[0], 0.5 * alone[1]))
    assert len(said.values) == 4


def test_a_reward_that_draws_is_told_of_its_batch_and_others_are_left_alone():
    class Draws:
        def __init__(self, drawn=""):
            self.drawn = drawn

        def at(self, drawn):
            return Draws(drawn)

        def __call__(self, samples):
            return [float(len(self.drawn))] * len(samples)

    own = Terms(
        (
            Term(RewardTerm(source="constitution"), Draws()),
            Term(RewardTerm(source="model"), lambda samples: [7.0] * len(samples)),
        )
    )
    assert own([sample()])[0].values == (0.0, 7.0)
    assert own.at("12/3")([sample()])[0].values == (4.0, 7.0)
    assert own([sample()])[0].values == (0.0, 7.0)
    assert own.told_apart


def test_without_an_ensemble_there_is_no_spread():
    lm = load("tiny:0", dtype="float32")
    assert Terms.of(ModelReward(Scorer(lm, drawn_head(lm))))([sample()])[0].spread is None
    assert Terms.of(lambda samples: [1.0])([sample()]) == [Said((Told(1.0),))]
    assert Terms(())([sample()]) == [Said(())]


def test_a_policy_is_paid_what_its_settings_make_of_the_members():
    lm = load("tiny:0", dtype="float32")
    model = RewardModel(lm, heads=3)
    torch.nn.init.normal_(model.score.weight, std=0.3, generator=torch.Generator().manual_seed(1))
    scorer = Scorer(lm, model)
    (score,) = scorer.scores([[2, 50, 60, 1]])
    assert score.uncertainty > 0.01
    paid = ModelReward(scorer, EnsembleSettings(combine="worst"))([sample()])
    assert paid == pytest.approx([min(score.members)], abs=1e-6)
    assert ModelReward(scorer)([sample()]) == pytest.approx([score.value], abs=1e-6)
