import math

import pytest
import torch
from architectures import drawn_head
from safetensors.torch import save_file

from gnomon.config import LoraSettings
from gnomon.models.load import load
from gnomon.models.lora import add_lora
from gnomon.models.reward_model import (
    HEAD_FILE,
    RewardModel,
    Score,
    Scorer,
    load_head,
    load_scorer,
    save_scorer,
    share_frozen,
)

ROWS = [[2, 50, 60, 70, 1], [2, 80, 1], [2, 50, 60, 70, 90, 91, 92, 1]]


def drawn(lm, seed=5, **shape):
    """A reward model whose heads differ."""
    model = RewardModel(lm, **shape)
    torch.nn.init.normal_(model.score.weight, std=0.2, generator=torch.Generator().manual_seed(seed))
    return model


def tiny(seed=None):
    lm = load("tiny:0", dtype="float32")
    return lm if seed is None else add_lora(lm, LoraSettings(rank=2), seed=seed)


def moved(scorer):
    """The same after its adapters have moved, each by another amount."""
    with torch.no_grad():
        for number, model in enumerate(scorer.models):
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.add_(0.05 * (number + 1))
    return scorer


def test_a_score_is_the_mean_of_the_members_and_says_how_they_differ():
    score = Score((1.0, 2.0, 6.0), variance=0.5)
    assert (score.value, score.lowest) == (3.0, 1.0)
    assert score.uncertainty == pytest.approx(math.sqrt((4 + 1 + 9) / 3))
    assert (Score((2.5,)).value, Score((2.5,)).uncertainty) == (2.5, 0.0)


def test_each_head_is_a_line_of_the_last_state():
    lm = tiny()
    it = Scorer(lm, drawn(lm, heads=3))
    with torch.no_grad():
        it.model.score.bias.copy_(torch.tensor([0.5, 0.0, -1.0]))
        it.model.shift.copy_(torch.tensor([1.0, 2.0, 3.0]))
        hidden = lm.model.model(input_ids=torch.tensor([ROWS[1]])).last_hidden_state[0, -1]
        wanted = it.model.score.weight @ hidden + it.model.score.bias - torch.tensor([1.0, 2.0, 3.0])
    (found,) = it.scores([ROWS[1]])
    assert found.members == pytest.approx(wanted.tolist(), abs=1e-5)
    assert it.score([ROWS[1]]) == [found.value]


def test_length_and_scale_are_taken_out_of_what_is_served():
    """(raw - slope * tokens - shift) / scale, by hand; rows of 5, 3 and 8 tokens."""
    lm = tiny()
    it = Scorer(lm, drawn_head(lm))
    raw = it.score(ROWS)
    it.model.slope.fill_(0.1)
    it.model.shift.fill_(-2.0)
    it.model.scale.fill_(4.0)
    wanted = [(value - 0.1 * tokens + 2.0) / 4.0 for value, tokens in zip(raw, (5, 3, 8), strict=True)]
    assert it.score(ROWS) == pytest.approx(wanted, abs=1e-5)
    ids = torch.tensor([ROWS[1]])
    assert it.model(ids, torch.ones_like(ids, dtype=torch.bool)).item() == pytest.approx(wanted[1], abs=1e-5)


def test_a_variance_is_told_beside_the_mean_in_the_unit_of_the_score():
    lm = tiny()
    it = Scorer(lm, drawn(lm, heads=2, variance=True))
    with torch.no_grad():
        hidden = lm.model.model(input_ids=torch.tensor([ROWS[0]])).last_hidden_state[0, -1]
        said = it.model.score.weight @ hidden
    it.model.scale.fill_(2.0)
    (found,) = it.scores([ROWS[0]])
    assert found.members == pytest.approx((said[:2] / 2).tolist(), abs=1e-5)
    assert found.variance == pytest.approx(float(said[2:].exp().mean()) / 4, rel=1e-4)


def test_chances_are_of_the_model_that_was_fitted_whatever_the_unit():
    lm = tiny()
    plain, normal = Scorer(lm, RewardModel(lm)), Scorer(lm, RewardModel(lm, variance=True))
    assert plain.chance(Score((2.0,)), Score((1.0,))) == pytest.approx(1 / (1 + math.exp(-1)))
    plain.model.scale.fill_(3.0)
    assert plain.chance(Score((2.0,)), Score((1.0,))) == pytest.approx(1 / (1 + math.exp(-3)))
    assert plain.chance(Score((-1e4,)), Score((1e4,))) == pytest.approx(0.0)
    wide = (Score((3.0,), variance=1.0), Score((0.0,), variance=3.0))
    assert normal.chance(*wide) == pytest.approx(0.9331927987)  # F(3 / sqrt(4))
    assert normal.chance(*wide[::-1]) == pytest.approx(1 - 0.9331927987)


@pytest.mark.parametrize("shape", [{"heads": 3}, {"heads": 2, "variance": True}, {"variance": True}])
def test_heads_that_are_saved_say_the_same_when_loaded(tmp_path, shape):
    lm = tiny(seed=0)
    it = moved(Scorer(lm, drawn(lm, **shape)))
    it.model.slope.fill_(0.01)
    it.model.scale.fill_(0.5)
    save_scorer(it, tmp_path, "card")
    again = load_scorer(tmp_path, dtype="float32")
    for one, other in zip(it.scores(ROWS), again.scores(ROWS), strict=True):
        assert one.members == pytest.approx(other.members, abs=1e-5)
        assert one.variance == pytest.approx(other.variance, abs=1e-5)


def test_several_bodies_are_saved_and_loaded_over_one_base(tmp_path):
    lms = [tiny(seed=member) for member in range(3)]
    models = [drawn(lm, seed=member) for member, lm in enumerate(lms)]
    it = moved(Scorer(lms[0], models[0], others=tuple(models[1:])))
    save_scorer(it, tmp_path, "card")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["member-2", "member-3"]
    again = load_scorer(tmp_path, dtype="float32")
    for one, other in zip(it.scores(ROWS), again.scores(ROWS), strict=True):
        assert one.members == pytest.approx(other.members, abs=1e-5)
        assert len(set(one.members)) == 3
    held = [dict(model.named_parameters()) for model in again.models]
    for name, parameter in held[0].items():
        same = [own[name].data_ptr() == parameter.data_ptr() for own in held[1:]]
        assert same == [("lora_" not in name and "score" not in name)] * 2, name


def test_what_trains_is_not_shared_though_it_is_the_same():
    one, other = tiny(seed=0), tiny(seed=0)
    share_frozen(one.model, other.model)
    before = dict(other.model.named_parameters())
    for name, parameter in one.model.named_parameters():
        assert (before[name].data_ptr() == parameter.data_ptr()) == (not parameter.requires_grad), name
    with torch.no_grad():
        for parameter in other.model.parameters():
            if parameter.requires_grad:
                parameter.add_(1.0)
    assert all(not parameter.any() for name, parameter in one.model.named_parameters() if "lora_B" in name)


def test_a_head_of_before_there_were_slope_and_scale_is_read(tmp_path):
    lm = tiny()
    it = Scorer(lm, drawn_head(lm))
    save_scorer(it, tmp_path, "card")
    kept = load_head(tmp_path)
    save_file({name: kept[name] for name in ("weight", "bias", "shift")}, tmp_path / HEAD_FILE)
    assert load_scorer(tmp_path, dtype="float32").score(ROWS) == pytest.approx(it.score(ROWS), abs=1e-5)
