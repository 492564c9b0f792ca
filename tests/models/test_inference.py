"""A model made ready for decoding computes what it computes anyway."""

import pytest
import torch
from architectures import NAMES, language_model

from gnomon.config import LoraSettings
from gnomon.models.heads import hidden_states, output_head
from gnomon.models.inference import ready, ready_head
from gnomon.models.lora import add_lora, as_reference, freeze_reference

IDS = torch.tensor([[2, 50, 60, 70], [2, 80, 90, 100]])


def adapted(name="llama", dtype=torch.bfloat16, **settings):
    lm = add_lora(language_model(name, dtype), LoraSettings(rank=2, **settings), seed=0)
    freeze_reference(lm.model)
    with torch.no_grad():
        for parameter in lm.model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    return lm


@torch.no_grad()
def states(lm):
    return hidden_states(lm.model, IDS, torch.ones_like(IDS, dtype=torch.bool))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_states_are_the_same_bit_by_bit(name, dtype):
    for lm in (language_model(name, dtype), adapted(name, dtype)):
        lm.model.eval()
        plain = states(lm)
        with ready(lm.model):
            assert torch.equal(states(lm), plain)
        assert torch.equal(states(lm), plain)


def test_adapters_count_and_so_does_which_of_them_answers():
    lm = adapted()
    trained = states(lm)
    with as_reference(lm.model):
        reference = states(lm)
        with ready(lm.model):
            assert torch.equal(states(lm), reference)
    with ready(lm.model):
        assert torch.equal(states(lm), trained)
    assert not torch.equal(trained, reference)


def test_there_is_no_dropout_inside_and_afterwards_there_is():
    lm = adapted(dropout=0.5)
    lm.model.eval()
    plain = states(lm)
    lm.model.train()
    with ready(lm.model):
        assert torch.equal(states(lm), plain)
    assert lm.model.training
    assert not torch.equal(states(lm), plain)


def test_afterwards_the_layers_train_and_follow_their_weights():
    lm = adapted()
    lm.model.train()
    with ready(lm.model):
        before = states(lm)
    hidden_states(lm.model, IDS, torch.ones_like(IDS, dtype=torch.bool)).float().pow(2).mean().backward()
    trained = [p for p in lm.model.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in trained)
    with torch.no_grad():
        trained[0].add_(1.0)
    with ready(lm.model):
        assert not torch.equal(states(lm), before)


def test_an_error_inside_leaves_the_layers_as_they_were():
    lm = adapted()
    forwards = {name: module.__dict__.get("forward") for name, module in lm.model.named_modules()}
    with pytest.raises(KeyError), ready(lm.model):
        raise KeyError
    assert {name: module.__dict__.get("forward") for name, module in lm.model.named_modules()} == forwards


def test_the_head_multiplies_as_the_model_s_own():
    lm = language_model("llama", torch.bfloat16)
    hidden = torch.randn(5, lm.model.config.hidden_size).to(torch.bfloat16)
    assert torch.equal(ready_head(lm.model).products(hidden), output_head(lm.model).products(hidden))
