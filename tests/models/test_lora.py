from functools import partial

import pytest
import torch
from architectures import NAMES, random_model
from peft import LoraConfig, PeftModel
from torch import nn
from torch.testing import assert_close

from gnomon.config import LoraSettings, ModelSettings
from gnomon.errors import ConfigError
from gnomon.kernels.mlp import lora_mlp
from gnomon.models import fuse
from gnomon.models.fuse import fused
from gnomon.models.load import LanguageModel, load
from gnomon.models.logps import sequence_logps
from gnomon.models.lora import (
    REFERENCE,
    TRAINED,
    add_lora,
    as_reference,
    freeze_reference,
    has_adapters,
    interpolate,
    load_trainable,
)
from gnomon.models.save import save_model

PROMPTS, RESPONSES = [[2, 50, 60], [2, 70]], [[80, 90, 1], [100, 1]]


def adapted(*, seed=0, moved=True, dtype="float32", **settings):
    lm = add_lora(load("tiny:0", dtype=dtype), LoraSettings(rank=2, **settings), seed)
    if moved:
        move(lm)
    return lm


def adapted_architecture(name):
    """In float64, with fresh adapters."""
    tiny, model = load("tiny:0"), random_model(name, dtype=torch.float64)
    return add_lora(
        LanguageModel(model, tiny.tokenizer, tiny.template, "tiny:0"), LoraSettings(rank=2), seed=0
    )


def move(lm, adapter=TRAINED, std=0.2):
    """What training does: the adapters are no longer zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in lm.model.named_parameters():
            if "lora_B" in name and f".{adapter}." in name:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=std)


def weights(lm, adapter):
    return {n: p for n, p in lm.model.named_parameters() if f".{adapter}." in n}


def logps(lm):
    return torch.cat(sequence_logps(lm, PROMPTS, RESPONSES))


@pytest.mark.mistake("rounded-or-unseeded")
def test_the_same_seed_gives_the_same_adapters_and_leaves_the_random_state_alone():
    torch.manual_seed(1)
    one = weights(adapted(moved=False, seed=7), TRAINED)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    other = weights(adapted(moved=False, seed=7), TRAINED)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], other[name]) for name in one)
    third = weights(adapted(moved=False, seed=8), TRAINED)
    assert any(not torch.equal(one[name], third[name]) for name in one)


def test_adapters_are_drawn_on_the_processor_and_a_gpu_draws_on_as_it_would(monkeypatch):
    """With a stand-in for the driver, so that this runs anywhere."""
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    adapted()
    assert not seeded
    torch.manual_seed(torch.initial_seed())
    assert seeded, "which is what would be seen"


def test_every_linear_layer_of_the_body_and_nothing_else_trains():
    lm = adapted()
    trained = [n for n, p in lm.model.named_parameters() if p.requires_grad]
    assert len(trained) == 2 * 7 * 2  # layers, linear layers in each, factors
    assert all("lora_" in name and "lm_head" not in name for name in trained)


def test_fresh_adapters_change_nothing():
    assert torch.equal(logps(adapted(moved=False)), logps(load("tiny:0", dtype="float32")))


def test_adapters_off_is_the_base_and_on_is_not():
    lm = adapted()
    with lm.model.disable_adapter():
        assert torch.equal(logps(lm), logps(load("tiny:0", dtype="float32")))
    assert float((logps(lm) - logps(load("tiny:0", dtype="float32"))).abs().max()) > 1e-3


@pytest.mark.mistake("wrong-reference")
def test_the_reference_starts_as_the_policy_exactly():
    """From adapters that are not fresh: a copy of the base would be another model (KL exactly 0)."""
    lm = adapted()
    freeze_reference(lm.model)
    policy = logps(lm)
    with as_reference(lm.model):
        assert torch.equal(logps(lm), policy)


def test_the_reference_stays_while_the_policy_trains():
    lm = adapted()
    freeze_reference(lm.model)
    before, frozen = logps(lm), {n: p.clone() for n, p in weights(lm, REFERENCE).items()}
    optimizer = torch.optim.AdamW([p for p in lm.model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(2):
        with as_reference(lm.model):
            logps(lm)
        lm.model(input_ids=torch.tensor([PROMPTS[0]])).logits.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(torch.equal(frozen[n], p) for n, p in weights(lm, REFERENCE).items())
    with as_reference(lm.model):
        assert torch.equal(logps(lm), before)
    assert float((logps(lm) - before).abs().max()) > 1e-3


def test_only_the_policys_adapters_train_before_inside_and_after():
    lm = adapted()
    freeze_reference(lm.model)

    def trained():
        return {n for n, p in lm.model.named_parameters() if p.requires_grad}

    wanted = set(weights(lm, TRAINED))
    assert trained() == wanted
    with as_reference(lm.model):
        assert trained() == set()
    assert trained() == wanted
    with pytest.raises(ZeroDivisionError), as_reference(lm.model):
        _ = 1 / 0
    assert trained() == wanted
    assert lm.model.active_adapter == TRAINED


def test_a_model_that_does_not_train_still_does_not_after():
    lm = adapted()
    freeze_reference(lm.model)
    lm.model.requires_grad_(requires_grad=False)
    with as_reference(lm.model):
        pass
    assert not any(p.requires_grad for p in lm.model.parameters())


def test_the_reference_is_not_saved(tmp_path):
    lm = adapted()
    freeze_reference(lm.model)
    move(lm, TRAINED)
    wanted = logps(lm)
    save_model(lm, tmp_path, "card")
    assert not (tmp_path / REFERENCE).exists()
    assert_close(logps(load(f"path:{tmp_path}", dtype="float32")), wanted)


@pytest.mark.parametrize("name", NAMES)
def test_fused_layers_are_peft_s_own(name):
    """Output and gradients, with a reference beside, for every architecture (GPT-2's are transposed)."""
    lm = adapted_architecture(name)
    move(lm)
    freeze_reference(lm.model)
    ids = torch.tensor([PROMPTS[0] + RESPONSES[0]])
    results = []
    for plain in (False, True):
        if plain:
            for module in lm.model.modules():
                vars(module).pop("forward", None)
        logits = lm.model(input_ids=ids).logits
        trained = [p for p in lm.model.parameters() if p.requires_grad]
        results.append([logits, *torch.autograd.grad(logits.square().mean(), trained)])
    assert len(results[0]) > 8
    assert_close(results[0], results[1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3"])
def test_gated_layers_are_computed_whole_where_there_is_a_gradient(name, monkeypatch):
    """And layer by layer where there is none, as each may have been made ready to answer."""
    lm = adapted_architecture(name)
    calls = []
    monkeypatch.setattr(fuse, "lora_mlp", lambda *given: calls.append(given) or lora_mlp(*given))
    ids = torch.tensor([PROMPTS[0]])
    lm.model(input_ids=ids)
    assert len(calls) == lm.model.config.num_hidden_layers
    with torch.no_grad():
        lm.model(input_ids=ids)
    assert len(calls) == lm.model.config.num_hidden_layers


class Gated(nn.Module):
    """A gated layer of a shape that the kernel knows."""

    def __init__(self, act=nn.SiLU, *, bias=False):
        super().__init__()
        self.gate_proj, self.up_proj = (nn.Linear(8, 16, bias=bias) for _ in range(2))
        self.down_proj, self.act_fn = nn.Linear(16, 8, bias=bias), act()

    def forward(self, x):
        return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))


class Sparse(Gated):
    """Keeps nothing of a gate below one."""

    def forward(self, x):
        gate = self.gate_proj(x)
        return self.down_proj(self.act_fn(gate.where(gate > 1, 0)) * self.up_proj(x))


class Noisy(Gated):
    """Drops some of what it gives while it trains."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(super().forward(x))


OTHERS = {
    "sparse": Sparse,
    "noisy": Noisy,
    "hard": partial(Gated, nn.Hardswish),
    "biased": partial(Gated, bias=True),
}


@pytest.mark.parametrize("kind", OTHERS.values(), ids=OTHERS)
def test_what_only_looks_like_a_gated_layer_stays_itself(kind, monkeypatch):
    torch.manual_seed(0)
    model = PeftModel(nn.Sequential(kind()), LoraConfig(r=2, target_modules="all-linear")).eval()
    x = torch.randn(5, 8, requires_grad=True)
    wanted = model(x)
    fused(model)
    monkeypatch.delattr(fuse, "lora_mlp")
    assert_close(model(x), wanted)
    assert not torch.equal(model.train()(x), wanted) or kind is not Noisy


def test_dropout_on_adapters_is_peft_s():
    lm = adapted(dropout=0.5)
    ids = torch.tensor([PROMPTS[0]])
    lm.model.train()
    assert not torch.equal(lm.model(input_ids=ids).logits, lm.model(input_ids=ids).logits)
    lm.model.eval()
    assert torch.equal(lm.model(input_ids=ids).logits, lm.model(input_ids=ids).logits)


@pytest.mark.mistake("rounded-or-unseeded")
def test_adapters_are_float32_on_a_bfloat16_base():
    lm = adapted(dtype="bfloat16")
    assert {p.dtype for p in lm.model.parameters() if p.requires_grad} == {torch.float32}
    assert lm.model.get_base_model().lm_head.weight.dtype == torch.bfloat16


def test_what_is_loaded_to_train(tmp_path):
    """Fresh adapters on a base, the same adapters again from their folder, or every weight in float32."""
    settings = ModelSettings(ref="tiny:0", dtype="float32", lora=LoraSettings(rank=2))
    fresh = load_trainable("tiny:0", settings, seed=3)
    assert has_adapters(fresh.model)
    move(fresh)
    save_model(fresh, tmp_path, "card")
    again = load_trainable(f"path:{tmp_path}", settings, seed=4)
    assert_close(dict(weights(again, TRAINED)), dict(weights(fresh, TRAINED)))
    assert all(p.requires_grad for p in weights(again, TRAINED).values())
    for other in (LoraSettings(rank=4), LoraSettings(rank=2, dropout=0.5)):
        with pytest.raises(ConfigError, match=r"of rank 2, alpha .* and dropout 0, and these go on"):
            load_trainable(f"path:{tmp_path}", settings.model_copy(update={"lora": other}), seed=4)
    full = load_trainable("tiny:0", ModelSettings(ref="tiny:0", dtype="bfloat16", lora=None), seed=0)
    assert not has_adapters(full.model)
    assert {(p.dtype, p.requires_grad) for p in full.model.parameters()} == {(torch.bfloat16, True)}


def test_fusing_is_for_adapters_alone():
    lm = load("tiny:0", dtype="float32")
    before = logps(lm)
    assert fused(lm.model) is lm.model
    assert torch.equal(logps(lm), before)


def test_interpolated_adapters_lie_between_the_reference_and_what_was_trained():
    lm = adapted()
    freeze_reference(lm.model)
    start = {name: p.clone() for name, p in weights(lm, TRAINED).items()}
    move(lm, std=0.5)
    trained = {name: p.clone() for name, p in weights(lm, TRAINED).items()}
    before = {name: p.clone() for name, p in weights(lm, REFERENCE).items()}
    interpolate(lm, None, 0.75)
    for name, now in weights(lm, TRAINED).items():
        assert_close(now, 0.25 * start[name] + 0.75 * trained[name])
    assert all(torch.equal(p, before[name]) for name, p in weights(lm, REFERENCE).items())


def test_weights_that_all_train_are_interpolated_to_a_reference_of_their_own():
    lm, reference = load("tiny:0", dtype="float32"), load("tiny:1", dtype="float32")
    own, start = (dict(each.model.named_parameters()) for each in (lm, reference))
    expected = {name: 0.5 * (p.detach() + start[name].detach()) for name, p in own.items()}
    interpolate(lm, reference, 0.5)
    assert_close({name: p.detach() for name, p in own.items()}, expected)
