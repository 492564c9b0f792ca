from typing import get_args

import pytest

from gnomon.errors import ConfigError
from gnomon.recipe import load_recipe
from gnomon.settings.preference import COMMON, OWN, REFERENCE_FREE, Loss, PreferenceSettings


def settings(*overrides: str) -> PreferenceSettings:
    given = ["preference={}", *(f"preference.{override}" for override in overrides)]
    found = load_recipe(None, given).preference
    assert found is not None
    return found


def complaint(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        settings(*overrides)
    return str(caught.value)


def test_there_is_none_unless_asked_and_dpo_where_nothing_else_is():
    assert load_recipe(None).preference is None
    assert settings("optim.epochs=2").loss == "dpo"
    assert settings("loss=dpo").own == {"beta": 0.1}


def test_a_part_of_the_section_keeps_the_defaults_of_its_stage():
    assert settings("optim.epochs=2").optim.lr == PreferenceSettings().optim.lr == 5e-5


@pytest.mark.parametrize("loss", get_args(Loss))
def test_every_loss_has_its_own_values_where_nothing_is_set(loss):
    more = ("label_smoothing=0.1",) if loss == "robust_dpo" else ()
    own = settings(f"loss={loss}", *more)
    assert own.own == OWN[loss]
    assert own.arguments == {name: value for name, value in OWN[loss].items() if name not in COMMON}
    assert own.needs_reference == (loss not in REFERENCE_FREE)


def test_another_loss_takes_its_own_defaults_not_those_of_the_last():
    assert settings("loss=simpo").own == {"beta": 2.0, "gamma": 1.0}
    assert settings("loss=simpo", "beta=2.5").own == {"beta": 2.5, "gamma": 1.0}


def test_what_every_loss_is_asked_for():
    assert settings().common == {"sft_weight": 0.0, "tail_weight": 1.0}
    assert settings("sft_weight=0.3").common["sft_weight"] == 0.3
    assert settings("loss=orpo").common["sft_weight"] == 1.0
    assert settings("loss=orpo", "sft_weight=0").common["sft_weight"] == 0.0
    assert settings("loss=ld_dpo", "tail_weight=0.2").common["tail_weight"] == 0.2


def test_losses_that_average_say_so():
    averaging = {loss for loss in OWN if loss != "robust_dpo" and settings(f"loss={loss}").averages}
    assert averaging == {"simpo", "orpo"}
    assert settings("loss=ipo", "average=true").averages


@pytest.mark.parametrize(
    ("overrides", "name", "others"),
    [
        (("gamma=1",), "gamma is 1.0, and loss dpo", "simpo"),
        (("loss=orpo", "beta=0.1"), "beta is 0.1, and loss orpo", "dpo"),
        (("loss=simpo", "average=true"), "average is True, and loss simpo", "ipo"),
        (("loss=kto", "tail_weight=0.5"), "tail_weight is 0.5, and loss kto", "ld_dpo"),
    ],
)
def test_a_setting_of_another_loss_is_refused(overrides, name, others):
    told = complaint(*overrides)
    assert f"preference: {name} has no such setting; leave it out, or take a loss that has it" in told
    assert others in told.split("(")[1]


def test_a_loss_that_corrects_for_flips_needs_some():
    assert "label_smoothing is 0, and loss robust_dpo corrects" in complaint("loss=robust_dpo")
    assert settings("loss=robust_dpo", "label_smoothing=0.2").label_smoothing == 0.2


@pytest.mark.parametrize(
    "override", ["beta=0", "label_smoothing=0.5", "tail_weight=2", "sft_weight=-1", "loss=ppo"]
)
def test_a_value_out_of_range_is_refused_with_its_place(override):
    name, _, value = override.partition("=")
    assert f"preference.{name}: " in complaint(override)
    assert value in complaint(override)


def test_a_misspelt_setting_is_told_with_the_right_one():
    assert "unknown setting 'preference.lss'; did you mean 'loss'?" in complaint("lss=ipo")
