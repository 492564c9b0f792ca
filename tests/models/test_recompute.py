"""Layers that are computed again in the backward pass give the gradients of those that are kept."""

import pytest
import torch
from architectures import NAMES, random_model
from objectives import KINDS, build
from torch import nn
from torch.testing import assert_close

from gnomon.config import LoraSettings, ModelSettings
from gnomon.errors import ConfigError
from gnomon.kernels.branches import lay_out, packing
from gnomon.models.branches import branch_states
from gnomon.models.load import load
from gnomon.models.lora import load_trainable
from gnomon.models.recompute import recompute_layers

DROPOUT = LoraSettings(rank=2, dropout=0.3)


def learnt(built):
    """The first step's loss and gradients; the random state is the same for all."""
    torch.manual_seed(3)
    built.module.train()
    total = 0.0
    for micro in built.objective.prepare(0).micros:
        loss, _ = built.objective.loss(micro)
        loss.backward()
        total += loss.item()
    return total, {n: p.grad for n, p in built.module.named_parameters() if p.grad is not None}


def moved(kind, lora):
    """From adapters that are not at their start, where half of the gradients are zero."""
    built = build(kind, dtype="float64", lora=lora)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in built.module.named_parameters():
            if "lora_B.default" in name:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    return built


@pytest.mark.parametrize("lora", [LoraSettings(rank=2), DROPOUT, None], ids=["adapters", "dropout", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_are_the_same_bit_by_bit(kind, lora):
    """With dropout too: drawn again where the objective has it, and left out where it has none."""
    plain, again = moved(kind, lora), moved(kind, lora)
    recompute_layers(again.module)
    (loss, grads), (wanted, others) = learnt(again), learnt(plain)
    assert loss == wanted
    assert grads.keys() == others.keys()
    for name, grad in others.items():
        assert_close(grads[name], grad, rtol=0, atol=0, msg=lambda m, n=name: f"{n}: {m}")
    modes = [[module.training for module in built.module.modules()] for built in (again, plain)]
    assert modes[0] == modes[1]  # what the backward pass put back


@pytest.mark.parametrize("name", NAMES)
def test_every_architecture_can(name):
    """Under the masks of a pack, in evaluation mode."""
    rows = [[2, *range(50, 59), 1], [2, *range(100, 107), 1]]
    batch = lay_out(rows, packing([11, 9], 20), pad_id=0)
    plain, again = (random_model(name, dtype=torch.float64) for _ in range(2))
    recompute_layers(again)
    for model in (plain, again):
        branch_states(model, batch).square().sum().backward()
    for (parameter, mine), theirs in zip(again.named_parameters(), plain.parameters(), strict=True):
        assert_close(mine.grad, theirs.grad, rtol=0, atol=0, msg=lambda m, p=parameter: f"{p}: {m}")


def kept(model, batch):
    """Bytes that the backward pass of the body waits for: tensors saved, and what goes into its layers."""
    storages = {}

    def keep(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()  # alive: no address twice
        return tensor

    def note(layer, args):
        keep(args[0])

    hooks = [layer.register_forward_pre_hook(note) for layer in model.model.layers]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        states = branch_states(model, batch)
    for hook in hooks:
        hook.remove()
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    states.sum().backward()
    return sum(storage.nbytes() for place, storage in storages.items() if place not in weights)


def test_less_is_kept():
    built = build("sft")
    (micro, *_) = built.objective.prepare(0).micros
    model, batch = random_model("llama"), micro.tensors.rows
    before = kept(model, batch)
    recompute_layers(model)
    assert kept(model, batch) < before / 4


def test_without_a_gradient_nothing_is_different():
    model = random_model("llama")
    ids = torch.arange(4)[None]
    with torch.no_grad():
        before = model(input_ids=ids, use_cache=True)
        recompute_layers(model.train())
        after = model(input_ids=ids, use_cache=True)
    assert torch.equal(after.logits, before.logits)
    assert after.past_key_values.get_seq_length() == 4


def test_it_is_a_setting():
    def layers(**settings):
        chosen = ModelSettings(ref="tiny:0", dtype="float32", **settings)
        return load_trainable("tiny:0", chosen, seed=0).model.get_base_model().model.layers

    assert all("forward" in vars(layer) for layer in layers(activation_checkpointing=True))
    assert not any("forward" in vars(layer) for layer in layers())


def test_a_model_without_such_layers_is_refused():
    with pytest.raises(ConfigError, match=r"Linear has no layers.*model\.activation_checkpointing=false"):
        recompute_layers(nn.Linear(2, 2))
    recompute_layers(load("tiny:0").model)
