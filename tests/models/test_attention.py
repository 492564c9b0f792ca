"""Whole models with the attention of ours and of torch."""

import json

import pytest
import torch
from architectures import NAMES, random_model
from torch.testing import assert_close

from gnomon.models import attention as module
from gnomon.models.attention import NAME
from gnomon.models.heads import hidden_states
from gnomon.models.load import load
from gnomon.models.save import save_model
from gnomon.models.settle import settled

SETTLED = [name for name in NAMES if random_model(name).config._attn_implementation == NAME]
ROWS, LENGTH = 3, 11  # the windows of these models span six


@pytest.fixture
def calls(monkeypatch):
    """How often the kernel is asked for."""
    counted = []
    kernel = module.attend
    monkeypatch.setattr(module, "attend", lambda *given: counted.append(1) or kernel(*given))
    return counted


def inputs():
    """Rows padded right to one length, all of a vocabulary but the padding."""
    ids = torch.randint(3, 200, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(LENGTH) < torch.tensor([LENGTH, 4, 8])[:, None]
    return ids, mask


def gradients(model, ids, mask):
    """Real states, and the gradients of a loss that weighs each differently."""
    states = hidden_states(model, ids, mask)[mask]
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(1), dtype=states.dtype)
    loss = (weights * states).sum()
    return states, torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)


def test_most_architectures_take_it():
    assert {"llama", "qwen2", "qwen3", "mistral", "gemma3", "phi3"} <= set(SETTLED)


@pytest.mark.usefixtures("float64_throughout")
@pytest.mark.parametrize("name", SETTLED)
def test_states_and_gradients_are_those_of_torchs_attention(name, calls):
    ours, theirs = (random_model(name, dtype=torch.float64) for _ in range(2))
    theirs.set_attn_implementation("sdpa")
    found = gradients(ours, *inputs())
    assert len(calls) == ours.config.num_hidden_layers
    assert_close(found, gradients(theirs, *inputs()), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", SETTLED)
def test_prompts_padded_left_into_a_cache_and_their_next_token_are_read_as_with_torchs(name, calls):
    ids, mask = inputs()
    ids, mask = ids.flip(1), mask.flip(1).long()
    after = torch.cat([mask, torch.ones(ROWS, 1, dtype=torch.long)], dim=1)
    logits = []
    for implementation in (NAME, "sdpa"):
        model = random_model(name)
        model.set_attn_implementation(implementation)
        with torch.no_grad():
            first = model(input_ids=ids, attention_mask=mask, use_cache=True)
            cache = first.past_key_values
            later = model(input_ids=ids[:, -1:], attention_mask=after, past_key_values=cache)
        logits.append(torch.cat([first.logits[:, -1:], later.logits], dim=1))
    assert calls
    assert_close(*logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SETTLED)
@pytest.mark.mistake("mask-ignored")
def test_rows_without_padding_that_come_without_a_mask_see_nothing_later(name, calls):
    ids, _ = inputs()
    with torch.no_grad():
        model = random_model(name)
        ours = model(input_ids=ids).logits
        assert calls
        model.set_attn_implementation("sdpa")
        assert_close(ours, model(input_ids=ids).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SETTLED)
def test_long_rows_are_left_to_torch(name, calls, monkeypatch):
    monkeypatch.setattr(module, "LONGEST", LENGTH - 1)
    ids, mask = inputs()
    found = hidden_states(random_model(name), ids, mask)[mask]
    assert not calls
    theirs = random_model(name)
    theirs.set_attn_implementation("sdpa")
    assert torch.equal(found, hidden_states(theirs, ids, mask)[mask])


def test_a_model_with_another_attention_keeps_it():
    model = random_model("llama")
    model.set_attn_implementation("eager")
    assert settled(model).config._attn_implementation == "eager"


def test_what_is_saved_does_not_name_it(tmp_path):
    lm = load("tiny:0")
    assert lm.model.config._attn_implementation == NAME
    save_model(lm, tmp_path, "")
    assert NAME not in json.dumps(json.loads((tmp_path / "config.json").read_text()))


@pytest.mark.parametrize("queries", [1, LENGTH])
@pytest.mark.parametrize("masked", [True, False])
def test_what_is_elsewhere_than_on_a_processor_is_left_to_torch(queries, masked, monkeypatch):
    """A model read into the host's memory may go to a GPU; here it goes to where tensors are but shapes."""
    monkeypatch.setattr(module, "attend", None)
    monkeypatch.setattr(module, "attend_once", None)
    layer = random_model("llama").model.layers[0].self_attn
    query, key, value = (
        torch.empty(ROWS, heads, length, 8, device="meta")
        for heads, length in ((4, queries), (2, LENGTH), (2, LENGTH))
    )
    mask = torch.ones(ROWS, 1, queries, LENGTH, dtype=torch.bool, device="meta") if masked else None
    found, _ = module.attention(layer, query, key, value, mask)
    assert found.shape == (ROWS, queries, 4, 8)
