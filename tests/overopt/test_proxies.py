import numpy as np
import pytest
from words import said

from gnomon.config import ModelSettings, RewardSettings
from gnomon.errors import ConfigError
from gnomon.models.reward_model import load_scorer, save_scorer
from gnomon.overopt.planted import Pairs
from gnomon.overopt.proxies import encoded, ids_of, unlearnt
from gnomon.overopt.settings import ProxySettings

MODEL = ModelSettings(ref="tiny:0", dtype="float32", lora=None)


def size(scorer):
    return sum(parameter.numel() for parameter in scorer.model.parameters() if parameter.requires_grad)


def test_sizes_are_adapters_or_layers():
    whole, shallow, low, high = (
        size(unlearnt(MODEL, ProxySettings(**own), RewardSettings(), 0))
        for own in ({}, {"layers": 1}, {"rank": 2}, {"rank": 4})
    )
    assert low < high < shallow < whole
    with pytest.raises(ConfigError, match=r"layers is 3, and tiny:0 has 2"):
        unlearnt(MODEL, ProxySettings(layers=3), RewardSettings(), 0)


def test_a_shallow_one_is_shallow_when_it_is_read_again(tmp_path):
    scorer = unlearnt(MODEL, ProxySettings(layers=1), RewardSettings(members=2), 0)
    scorer.model.score.weight.data.normal_()
    save_scorer(scorer, tmp_path, "card")
    back = load_scorer(tmp_path, dtype="float32")
    rows = [(3, 4, 5), (9, 8)]
    assert len(back.model.body.model.layers) == 1
    assert back.score(rows) == pytest.approx(scorer.score(rows))


def test_pairs_are_learnt_from_on_the_ids_that_were_sampled():
    pairs = Pairs(said("ab", "c"), said("d", "ef"))
    first, second = encoded(pairs, np.array([1.0, -1.0])).pairs
    assert (first.first.ids, first.second.ids) == ((7, 97, 98), (7, 100))
    assert first.first.response_mask == (False, True, True)
    assert (first.preference, second.preference) == (1.0, 0.0)
    assert ids_of(pairs.first) == [(7, 97, 98), (7, 99)]
    assert encoded(pairs, np.array([0.0, 1.0])).pairs[0].preference == 0.5
