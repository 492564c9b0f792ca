"""Sharing out layers as one process sees it; what several do is in training/test_sharded.py."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from gnomon.config import LoraSettings
from gnomon.errors import ConfigError
from gnomon.models import shards
from gnomon.models.load import load
from gnomon.models.lora import add_lora
from gnomon.models.reward_model import RewardModel
from gnomon.models.shards import evenly, shard, sharded_layers, whole


def test_alone_nothing_is_shared_out():
    lm = load("tiny:0", dtype="float32")
    before = dict(lm.model.named_parameters())
    shard(lm.model)
    assert not sharded_layers(lm.model)
    assert all(parameter is before[name] for name, parameter in lm.model.named_parameters())
    passes = iter([1, 2])
    with whole(lm.model), evenly(lm.model, passes) as own:
        assert own is passes


def test_a_model_without_layers_is_refused(monkeypatch):
    monkeypatch.setattr(shards, "size", lambda: 2)
    config = LlamaConfig(vocab_size=8, hidden_size=8, num_hidden_layers=0, num_attention_heads=1)
    with pytest.raises(ConfigError, match=r"LlamaForCausalLM has no layers .* model\.sharding=none"):
        shard(LlamaForCausalLM(config))


def test_an_empty_pass_teaches_nothing_and_draws_nothing():
    """Through adapters with dropout and a score: every gradient is there, and 0."""
    lm = add_lora(load("tiny:0", dtype="float64"), LoraSettings(rank=2, dropout=0.5), seed=0)
    model = RewardModel(lm).train()
    before = torch.get_rng_state()
    shards._empty_pass(model)
    assert torch.equal(torch.get_rng_state(), before)
    gradients = [p.grad for name, p in model.named_parameters() if "lora_" in name]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)
    assert model.training


@torch.no_grad()
def test_an_empty_pass_without_gradients_takes_none():
    model = load("tiny:0", dtype="float64").model
    shards._empty_pass(model)
    assert all(p.grad is None for p in model.parameters())
