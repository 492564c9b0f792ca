import logging

import pytest
import torch
from architectures import NAMES, language_model, random_model
from torch.testing import assert_close
from transformers import LlamaForCausalLM, LlamaModel

from gnomon.config import LoraSettings
from gnomon.kernels import branches as layout
from gnomon.kernels.branches import Group, lay_out
from gnomon.models import branches as module
from gnomon.models.branches import batches, branch_states, groups_of, shares
from gnomon.models.heads import hidden_states
from gnomon.models.load import LanguageModel, load
from gnomon.models.lora import add_lora

PROMPT = [2, *range(50, 59)]  # ten tokens: the windows of these models span six
ROWS = [[*PROMPT, *rest] for rest in ([100, 101, 102, 1], [110, 1], [120, 121, 122, 123, 124, 125, 126, 1])]
GROUP = Group(((0,), (1,), (2,)), sum(map(len, ROWS)), len(PROMPT))
OTHER = [2, 90, 91, 1]


def together():
    """Three rows in one, and beside it one that is padded."""
    return lay_out([*ROWS, OTHER], [GROUP, Group(((3,),), len(OTHER), len(OTHER))], pad_id=0)


def alone(model, row):
    ids = torch.tensor([row])
    return hidden_states(model, ids, torch.ones_like(ids, dtype=torch.bool))[0]


@pytest.mark.usefixtures("float64_throughout")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("mask-ignored")
def test_values_and_gradients_are_those_of_separate_rows(name):
    """Every weight's, from a loss that weighs every state of every row differently."""
    shared, apart = (random_model(name, dtype=torch.float64) for _ in range(2))
    batch = together()
    states, total = branch_states(shared, batch), torch.zeros((), dtype=torch.float64)
    for i, row in enumerate([*ROWS, OTHER]):
        wanted = alone(apart, row)
        assert_close(states[batch.places[i]], wanted, rtol=1e-9, atol=1e-9)
        weights = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(i), dtype=torch.float64)
        (weights * wanted).sum().backward()
        total = total + (weights * states[batch.places[i]]).sum()
    total.backward()
    for (parameter, mine), other in zip(shared.named_parameters(), apart.parameters(), strict=True):
        if other.grad is not None:
            atol = 1e-9 * float(other.grad.abs().max())
            assert_close(mine.grad, other.grad, rtol=0, atol=atol, msg=lambda m, p=parameter: f"{p}: {m}")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("mask-ignored")
def test_another_answer_does_not_move_a_state_by_a_bit(name):
    model = random_model(name)
    batch = together()
    before = branch_states(model, batch)
    for i in (0, 2):
        changed = together()
        changed.input_ids.view(-1)[changed.places[i][len(PROMPT) :]] = 200
        after = branch_states(model, changed)
        for k in range(4):
            own, rest = batch.places[k][: len(PROMPT)], batch.places[k][len(PROMPT) :]
            assert torch.equal(after[own], before[own])
            assert torch.equal(after[rest], before[rest]) == (k != i or not rest)


@pytest.mark.parametrize("name", NAMES)
def test_what_fills_a_row_does_not_move_a_state_by_a_bit(name):
    model = random_model(name)
    batch = together()
    before = branch_states(model, batch)
    batch.input_ids[batch.segments < 0] = 77
    real = (batch.segments >= 0).flatten()
    assert torch.equal(branch_states(model, batch)[real], before[real])


@pytest.mark.parametrize("name", ["mistral", "gemma2", "gemma3"])
def test_a_token_leaves_the_window_by_its_position(name):
    """The first layer slides: what is six positions back is out of sight, however near its place."""
    model = random_model(name)
    model.model.layers = model.model.layers[:1]
    model.config.num_hidden_layers = 1
    batch = together()
    before = branch_states(model, batch)
    batch.input_ids[0, 5] = 200
    after = branch_states(model, batch)
    for i in range(3):
        moved = (after != before).any(dim=1)[batch.places[i]].tolist()
        assert moved == [5 <= position < 11 for position in range(len(ROWS[i]))]


@pytest.mark.parametrize("name", NAMES)
def test_the_architectures_are_found_able(name, caplog):
    for dtype in (torch.float32, torch.bfloat16):
        model = random_model(name, dtype=dtype)
        window = getattr(model.config, "sliding_window", None)
        assert shares(model)
        assert getattr(model.config, "sliding_window", None) == window
    assert not caplog.records


def test_adapters_share_too():
    lm = add_lora(load("tiny:0", dtype="float64"), LoraSettings(rank=2), seed=0)
    with torch.no_grad():
        for name, parameter in lm.model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    assert shares(lm.model)
    batch = together()
    states = branch_states(lm.model, batch)
    for i, row in enumerate(ROWS):
        assert_close(states[batch.places[i]], alone(lm.model, row), rtol=1e-9, atol=1e-9)


class Deaf(LlamaModel):
    """Takes a mask and heeds only its last row, as if it were one of padding."""

    def forward(self, *args, attention_mask=None, **kwargs):
        if attention_mask is not None and attention_mask.ndim == 4:
            attention_mask = attention_mask[:, 0, -1] > -1
        return super().forward(*args, attention_mask=attention_mask, **kwargs)


class Picky(LlamaModel):
    """Takes no mask but one of padding."""

    def forward(self, *args, attention_mask=None, **kwargs):
        batch, seq = attention_mask.shape
        return super().forward(*args, attention_mask=attention_mask.view(batch, seq), **kwargs)


@pytest.mark.parametrize("kind", [Deaf, Picky])
def test_a_model_that_cannot_computes_each_row_alone_and_says_so_once(kind, caplog):
    lm = language_model()
    whole = LlamaForCausalLM(lm.model.config).eval()
    whole.model = kind(lm.model.config).eval()
    other = LanguageModel(whole, lm.tokenizer, lm.template, "tiny:0")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert [len(group.members) for group in groups_of(other, ROWS, 4096)] == [1, 1, 1]
    (record,) = caplog.records
    assert f"{kind.__name__} does not compute rows that share a prompt" in record.getMessage()
    for batch in batches(other, ROWS, 4096):
        states = branch_states(whole, batch)
        for i, places in batch.places.items():
            assert_close(states[places], alone(whole, ROWS[i]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("attribute", [{"sliding_window": 4096}, {"layer_types": ["chunked_attention"] * 2}])
def test_settings_that_do_not_say_what_the_model_does_are_not_believed(attribute):
    """Llama slides in no layer, and no kind of layer is known that is neither full nor sliding."""
    model = random_model("llama")
    for name, value in attribute.items():
        setattr(model.config, name, value)
    assert not shares(model)


def test_attention_that_takes_no_dense_mask_is_not_tried():
    model = random_model("llama")
    model.config._attn_implementation = "flex_attention"
    assert not shares(model)


def test_batches_hold_every_row_once_within_their_tokens(monkeypatch):
    monkeypatch.setattr(layout, "KEYS", 10_000)
    lm = language_model()
    rows = [*ROWS, OTHER, *ROWS, [2, 40], OTHER]
    for tokens in (1, 20, 40, 4096):
        made = list(batches(lm, rows, tokens))
        assert sorted(i for batch in made for i in batch.places) == list(range(len(rows)))
        for batch in made:
            assert batch.input_ids.numel() <= tokens or (batch.input_ids.shape[0] == 1 and not batch.shared)
            for i, places in batch.places.items():
                assert batch.input_ids.flatten()[places].tolist() == rows[i]


def test_the_longest_shared_row_is_limited(monkeypatch):
    lm = language_model()
    monkeypatch.setattr(module, "LONGEST", 16)
    assert sorted(len(group.members) for group in groups_of(lm, ROWS, 4096)) == [1, 2]


def test_rows_that_share_nothing_are_laid_out_as_ever():
    lm = language_model()
    rows = [[3, 4, 5], [6, 7], [8]]
    (batch,) = batches(lm, rows, 4096)
    assert not batch.shared
    assert batch.input_ids.shape == (3, 3)
    states = branch_states(lm.model, batch)
    for i, row in enumerate(rows):
        assert_close(states[batch.places[i]], alone(lm.model, row), rtol=1e-5, atol=1e-5)
