"""The end of a turn is learnt: by every architecture, where it fills batches too, and by adapters alone."""

import pytest
import torch
from architectures import NAMES, language_model
from objectives import DEMONSTRATIONS, learnt_by_heart
from torch import nn

from gnomon.config import LoraSettings
from gnomon.models.load import load
from gnomon.models.lora import add_lora
from gnomon.models.templates import Template
from gnomon.models.tiny import tiny_tokenizer
from gnomon.records import Conversation, Demonstration
from gnomon.settings.base import OptimSettings
from gnomon.training.sft import encode_demonstrations

FIVE = DEMONSTRATIONS[:5]
SHORT = [
    Demonstration(prompt, Conversation.of(prompt, response))
    for prompt, response in [("2", "4"), ("Hi", "Yo."), ("Ok?", "Yes"), ("a", "bc"), ("Why", "So")]
]
SETTINGS = {"batch_size": 5, "schedule": "linear", "checkpoint_every": 1000}


def wide(name):
    """The architecture without dropout, the question in its window, and a cap that lets it be sure."""
    lm = language_model(name)
    for setting, value in {"sliding_window": 32, "final_logit_softcapping": 30.0}.items():
        if getattr(lm.model.config, setting, None) is not None:
            setattr(lm.model.config, setting, value)
    for module in lm.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return lm


def said(rows):
    return [(row.response, True) for row in rows]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("turn-end-untrained")
def test_rows_learnt_by_heart_all_stop_where_padding_is_the_eos(name, tmp_path):
    """The EOS that ends a turn is trained though the same id fills the batch."""
    lm = wide(name)
    lm.tokenizer.pad_token = lm.tokenizer.eos_token
    assert lm.pad_id in lm.stop_ids
    answers = learnt_by_heart(lm, SHORT, tmp_path, OptimSettings(lr=1e-2, epochs=80, **SETTINGS))
    assert [(answer.text, answer.ended) for answer in answers] == said(SHORT)


@pytest.mark.mistake("turn-end-untrained")
def test_longer_rows_all_stop_too(tmp_path):
    lm = load("tiny:0", dtype="float32")
    lm.tokenizer.pad_token = lm.tokenizer.eos_token
    answers = learnt_by_heart(lm, FIVE, tmp_path, OptimSettings(lr=3e-3, epochs=70, **SETTINGS))
    assert [(answer.text, answer.ended) for answer in answers] == said(FIVE)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.mistake("untrained-turn-tokens")
def test_adapters_alone_learn_to_stop(name, tmp_path):
    """Embeddings and head keep every bit: the turn's end must be a token they know already."""
    lm = add_lora(wide(name), LoraSettings(rank=8), seed=0)
    lm.tokenizer.pad_token = lm.tokenizer.eos_token
    frozen = {n: p.clone() for n, p in lm.model.named_parameters() if not p.requires_grad}
    answers = learnt_by_heart(lm, SHORT, tmp_path, OptimSettings(lr=1e-2, epochs=80, **SETTINGS))
    assert [(answer.text, answer.ended) for answer in answers] == said(SHORT)
    weights = dict(lm.model.named_parameters())
    assert any("embed" in n or "wte" in n for n in frozen)
    assert all(torch.equal(weights[n], before) for n, before in frozen.items())


@pytest.mark.mistake("untrained-turn-tokens")
def test_the_template_of_a_base_model_adds_no_token_and_uses_none_but_bos_and_eos():
    tokenizer = tiny_tokenizer()
    known = dict(tokenizer.get_vocab())
    it = Template(tokenizer)
    ids = it.encode(Conversation.of("Hi!", "Hello.", "Bye!", "Bye.", system="Be kind.")).ids
    assert tokenizer.get_vocab() == known
    assert {token for token in ids if token in tokenizer.all_special_ids} == {1, 2}


@pytest.mark.mistake("turn-end-lost")
def test_however_short_a_row_must_be_what_is_kept_ends_its_turn_and_the_rest_is_counted():
    """From lengths that not even the prompts fit, one by one, to one that all rows fit."""
    lm = load("tiny:0", dtype="float32")
    rows = [lm.encode(row.conversation) for row in FIVE]
    lengths = sorted(len(row.ids) for row in rows)
    prompts = [len(lm.encode_prompt(row.prompt)) for row in FIVE]
    assert lengths[0] < max(prompts), "some rows are dropped though the answer alone would fit"
    for limit in range(lengths[0], lengths[-1] + 1):
        data = encode_demonstrations(lm, FIVE, limit)
        assert all(row in rows and row.ids[-1] in lm.stop_ids and row.response_mask[-1] for row in data.rows)
        over = sum(length > limit for length in lengths)
        assert data.dropped == ({f"longer than {limit} tokens": over} if over else {})
        assert len(data.rows) == 5 - over
