import json

import pytest
import torch
from torch.testing import assert_close

from gnomon.config import LoraSettings
from gnomon.errors import ModelError
from gnomon.models.averaging import average
from gnomon.models.load import load
from gnomon.models.lora import add_lora
from gnomon.models.reward_model import RewardModel, Scorer, save_scorer

SMALL = LoraSettings(rank=2, alpha=6)
ROWS = [[2, 50, 60, 70, 1], [2, 80, 1]]


def saved(folder, seed, *, lora=SMALL, ref="tiny:0", heads=1):
    """A reward model that was moved from its start by chance."""
    lm = load(ref, dtype="float32")
    if lora is not None:
        lm = add_lora(lm, lora, seed=seed)
    model = RewardModel(lm, heads=heads)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        model.shift.fill_(float(seed))
    it = Scorer(lm, model)
    save_scorer(it, folder, "card")
    return it


def updates(scorer):
    """What each layer's adapters add to its weight."""
    return {
        name: module.get_delta_weight("default")
        for name, module in scorer.lm.model.named_modules()
        if hasattr(module, "get_delta_weight")
    }


def test_the_updates_of_adapters_have_their_exact_mean(tmp_path):
    one = saved(tmp_path / "a", 1)
    other = saved(tmp_path / "b", 2, lora=LoraSettings(rank=4, alpha=4))
    mean = average([tmp_path / "a", tmp_path / "b"], tmp_path / "mean", dtype="float32")
    first, second, found = updates(one), updates(other), updates(mean)
    assert found.keys() == first.keys()
    for name, update in found.items():
        assert_close(update, (first[name] + second[name]) / 2, rtol=1e-5, atol=1e-6)
    assert json.loads((tmp_path / "mean" / "adapter_config.json").read_text())["r"] == 6
    assert_close(mean.model.score.weight, (one.model.score.weight + other.model.score.weight) / 2)
    assert_close(mean.model.shift, torch.tensor([1.5]))


def test_the_mean_of_one_thing_three_times_is_itself(tmp_path):
    it = saved(tmp_path / "a", 1)
    mean = average([tmp_path / "a"] * 3, tmp_path / "mean", dtype="float32")
    assert mean.score(ROWS) == pytest.approx(it.score(ROWS), abs=1e-4)


def test_whole_weights_have_their_mean(tmp_path):
    one, other = saved(tmp_path / "a", 1, lora=None), saved(tmp_path / "b", 2, lora=None)
    mean = average([tmp_path / "a", tmp_path / "b"], tmp_path / "mean", dtype="float32")
    second, found = dict(other.model.named_parameters()), dict(mean.model.named_parameters())
    for name, parameter in one.model.named_parameters():
        assert_close(found[name], (parameter + second[name]) / 2, rtol=1e-5, atol=1e-6)


def test_what_has_no_mean_is_named(tmp_path):
    saved(tmp_path / "a", 1)
    saved(tmp_path / "other", 1, ref="tiny:1")
    saved(tmp_path / "heads", 1, heads=2)
    saved(tmp_path / "whole", 1, lora=None)
    saved(tmp_path / "several", 1)
    (tmp_path / "several" / "member-2").mkdir()
    for names, what in (
        (["a"], "two reward models"),
        (["a", "other"], "begin at several models"),
        (["a", "heads"], "other weights"),
        (["a", "whole"], "others whole models"),
        (["a", "several"], "mean of scores already"),
        (["a", "nothing"], "cannot be read"),
    ):
        with pytest.raises(ModelError, match=what):
            average([tmp_path / name for name in names], tmp_path / "-".join(names), dtype="float32")


def test_an_adapter_whose_update_is_more_than_a_product_is_refused(tmp_path):
    saved(tmp_path / "a", 1)
    saved(tmp_path / "b", 2)
    config = tmp_path / "b" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "use_rslora": True}))
    with pytest.raises(ModelError, match="use_rslora"):
        average([tmp_path / "a", tmp_path / "b"], tmp_path / "mean", dtype="float32")
