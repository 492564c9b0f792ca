import pytest

from gnomon.errors import ConfigError
from gnomon.overopt.settings import LaboratorySettings, ProxySettings
from gnomon.recipe import load_settings


def load(*overrides):
    return load_settings(LaboratorySettings, None, overrides)


def test_a_part_of_a_section_keeps_the_rest_of_it():
    settings = load("policy.steps=7", "crowd.flips=0.1")
    assert (settings.policy.steps, settings.policy.kl_budget) == (7, None)
    assert (settings.crowd.flips, settings.crowd.charmed) == (0.1, 1.8)


def test_guards_change_the_policy_in_nothing_else():
    settings = load("guarded.kl_budget=3")
    guarded = settings.policy_under(settings.guarded)
    assert (guarded.kl_budget, guarded.ensemble.combine) == (3, "worst")
    same = {"kl_budget": settings.policy.kl_budget, "ensemble": settings.policy.ensemble}
    assert guarded.model_copy(update=same) == settings.policy == settings.policy_under(None)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("seeds=[1, 1]", "seeds: one is named twice"),
        ("proxies=[{}, {}]", "proxies: one is named twice"),
        ("gold.charming=a", "wanted and charming"),
        ("policy.algorithm=ppo", "take one without"),
        ("model.lora={}", "layers are left out where every weight trains"),
        ("crowds.flips=1", "did you mean 'crowd'"),
    ],
)
def test_what_cannot_be_is_said(override, told):
    with pytest.raises(ConfigError, match=told):
        load(override)


def test_proxies_are_called_by_what_sets_them_apart():
    names = [ProxySettings(**own).name for own in ({}, {"rank": 4}, {"layers": 1, "by": "exact"})]
    assert names == ["crowd-2000", "crowd-2000-rank-4", "exact-2000-layers-1"]
