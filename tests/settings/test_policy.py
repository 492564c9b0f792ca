from typing import get_args

import pytest

from gnomon.errors import ConfigError
from gnomon.recipe import load_recipe
from gnomon.settings.guards import AlarmName
from gnomon.settings.policy import FORMS, PolicySettings, RewardTerm
from gnomon.stats.alarms import RULES


def policy(*overrides):
    return load_recipe(None, [f"policy.{override}" for override in overrides]).policy


def complaint(*overrides):
    with pytest.raises(ConfigError) as caught:
        policy(*overrides)
    return str(caught.value)


def test_what_is_not_set_is_the_algorithm_s():
    assert policy("algorithm=ppo").form == FORMS["ppo"]
    assert (policy("algorithm=ppo").updates, policy().updates) == (4, 1)
    grpo = policy("algorithm=grpo").form
    assert (grpo.average, grpo.kl, grpo.estimator) == ("sequences", "loss", "k3")
    dapo = policy("algorithm=dapo").form
    assert (dapo.high, dapo.resample, dapo.overlong, dapo.average) == (0.28, 3, 0.2, "tokens")


def test_what_is_set_is_not():
    own = policy(
        "algorithm=dapo", "epochs=3", "minibatches=2", "average=sums", "clip.high=0.5", "resample=0",
        "overlong=16", "kl.place=reward",
    )  # fmt: skip
    assert own.updates == 6
    form = own.form
    assert (form.average, form.high, form.resample, form.overlong) == ("sums", 0.5, 0, 0.25)
    assert (form.kl, form.estimator) == ("reward", "k1")
    assert not policy("algorithm=reinforce_pp", "standardise=false").form.standardise
    assert policy("kl.place=loss", "kl.estimator=k2").form.estimator == "k2"


def test_published_defaults_of_ppo():
    own = PolicySettings(algorithm="ppo")
    assert (own.gamma, own.lam, own.clip.low, own.form.high, own.critic.clip) == (1.0, 0.95, 0.2, 0.2, 0.2)
    assert (own.critic.coef, own.critic.optim.eps, own.critic.optim.schedule) == (0.1, 1e-5, "linear")
    assert (own.form.epochs, own.minibatches, own.kl.horizon, own.form.standardise) == (4, 1, 10_000, True)
    own = PolicySettings().multipliers
    assert (own.lr, own.start, own.most, own.window) == (0.1, 1.0, 5.0, 128)


def test_guards_are_off_but_for_alarms_and_can_be_switched():
    own = policy()
    assert (own.kl_budget, own.guards.every, own.guards.keep, own.guards.stop) == (8.0, None, "last", ())
    assert own.guards.alarms
    assert policy("kl_budget=null").kl_budget is None
    assert policy("guards.stop=[turn, entropy]").guards.stop == ("turn", "entropy")
    assert set(get_args(AlarmName)) == set(RULES)


def test_guards_that_could_not_act_are_refused():
    assert "set guards.every" in complaint("guards.keep=best")
    assert policy("guards={keep: best, every: 2}").guards.gold is None
    assert "alarms are off" in complaint("guards={stop: [turn], alarms: false}")
    assert "turns" in complaint("guards.stop=[turns]")
    assert "guards.second" in complaint("guards.second=runs/other")


def test_the_published_caution_follows_what_it_is_taken_of():
    """UWO's lambda in PPO; the paper has 0.5 in best-of-n."""
    for combine, times in (("mean_minus_variance", 0.1), ("mean_minus_std", 0.5)):
        assert policy(f"ensemble.combine={combine}").ensemble.times == times
        assert policy(f"ensemble={{combine: {combine}, caution: 2}}").ensemble.times == 2.0


def test_a_reward_is_named_by_its_source():
    own = policy("rewards=[model, 'python:own.rewards:brief', 'path:runs/other']")
    assert own.sources == ("model", "python:own.rewards:brief", "path:runs/other")
    assert [term.called for term in own.rewards] == ["model", "brief", "other"]
    served = policy("rewards=[constitution, 'judge:endpoint:http://localhost:1/v1#tuned', judge:hub:o/n]")
    assert [term.called for term in served.rewards] == ["constitution", "tuned", "n"]
    assert served.by_constitution
    assert not own.by_constitution
    assert not served.needs_reward_model


def test_what_needs_a_reward_model_is_told():
    assert PolicySettings().needs_reward_model
    assert not PolicySettings(rewards=("form",)).needs_reward_model
    assert not PolicySettings(rewards=()).needs_reward_model
    assert PolicySettings(rewards=(), algorithm="ppo").needs_reward_model
    begun = {"start": "policy"}
    assert not PolicySettings(rewards=(), algorithm="ppo", critic=begun).needs_reward_model


def test_a_reward_has_a_weight_or_a_threshold_or_both():
    plain, limit = RewardTerm(source="model"), RewardTerm(source="model", at_most=0.5)
    both = RewardTerm(source="model", at_least=0.5, weight=2)
    assert [term.weighs for term in (plain, limit, both)] == [1.0, 0.0, 2.0]
    assert [term.bounded for term in (plain, limit, both)] == [False, True, True]
    assert [term.costs for term in (plain, limit, both)] == [False, True, False]
    assert RewardTerm(source="model", weight=-1).costs
    asked = "python:own.rewards:brief"  # is no ensemble, and may be paid for up to a threshold
    own = policy("ensemble.combine=worst", f"rewards=[{{source: '{asked}', weight: 1, at_most: 9}}]")
    assert own.rewards[0].two_sided


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["rewards=[modle]"],
            "source is 'modle'; write model, form, refusal, constitution, path:DIR, judge:MODEL or python:",
        ),
        (["rewards=['python:own.rewards']"], "source is 'python:own.rewards'; write model"),
        (["rewards=[{source: model, wieght: 2}]"], "'policy.rewards.0.wieght'; did you mean 'weight'?"),
        (["rewards=[{source: model, at_most: 1, at_least: 0}]"], "at_most and at_least are two thresholds"),
        (["rewards=[model, model]"], "two rewards are called 'model'; give one of them another `name`"),
        (
            ["samples=1"],
            "samples is 1, and rloo measures a sample against others of its prompt",
        ),
        (["minibatches=5"], "minibatches is 5, which does not divide the 24 prompts of a batch"),
        (["algorithm=raft", "rewards=[{source: model, at_most: 1}]"], "raft keeps the best samples"),
        (
            ["rewards=[{source: model, weight: 1, at_most: 1}]", "ensemble.combine=worst"],
            "reward model is paid for by its weight and held back by its threshold",
        ),
        (
            ["rewards=[{source: 'path:a', weight: -1, at_least: 1}]", "ensemble.combine=mean_minus_std"],
            "ensemble.combine=mean_minus_std doubts it on one side alone",
        ),
        (["algorithm=raft", "standardise=true"], "standardise: raft measures a sample against others"),
        (["algorithm=ppo", "resample=1"], "resample: ppo measures tokens against the whole batch"),
        (["optim.epochs=3"], "a policy has no rows to pass over; set policy.steps"),
        (["kl.target=6", "beta=0"], "kl.target is 6, and beta is 0, which stays 0"),
        (["ensemble.caution=1"], "caution is 1, and combine is mean, which takes nothing off the mean"),
        (["ensemble={combine: worst, caution: 1}"], "combine is worst, which takes nothing off the mean"),
        (["clip.dual=1"], "policy.clip.dual: "),
        (["algorithm=grop"], "policy.algorithm: "),
    ],
)
def test_what_cannot_be_is_refused(overrides, expected):
    assert expected in complaint(*overrides)


def test_one_sample_of_each_prompt_is_enough_where_tokens_are_measured():
    assert policy("algorithm=ppo", "samples=1").samples == 1
    assert policy("algorithm=reinforce_pp", "samples=1").samples == 1
