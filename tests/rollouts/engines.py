"""Engines over small random models, and samples compared."""

import pytest
import torch
from architectures import random_model

from gnomon.models.heads import body
from gnomon.models.load import LanguageModel, load
from gnomon.models.templates import Template
from gnomon.rollouts.decoding import DEFAULT
from gnomon.rollouts.local import LocalEngine


def engine(name="llama", limits=DEFAULT, *, stops=range(3, 40), dtype=torch.float32, model=None):
    """With many stop tokens, so that rows end at different times."""
    tokenizer = load("tiny:0").tokenizer
    model = model or random_model(name, dtype=dtype)
    return LocalEngine(LanguageModel(model, tokenizer, Template(tokenizer, stops), "tiny:0"), limits)


def random_prompts(*lengths, seed=0):
    """Prompts of so many random ids after the BOS, then the second and the first of them once more."""
    generator = torch.Generator().manual_seed(seed)
    prompts = [[2, *torch.randint(3, 259, (n,), generator=generator).tolist()] for n in lengths]
    return [*prompts, prompts[1], prompts[0]]


def passes(engine):
    """The shapes of ids, and of the columns that can be seen, that go through the body from now on."""
    seen = []
    body(engine.lm.model).register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(
            (*kwargs["input_ids"].shape, kwargs["attention_mask"].shape[1])
        ),
        with_kwargs=True,
    )
    return seen


def same(ours, theirs, off=1e-5):
    assert [sample.response_ids for sample in ours] == [sample.response_ids for sample in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.logps == pytest.approx(other.logps, abs=off, rel=0)
        assert (one.text, one.ended, one.prompt_ids) == (other.text, other.ended, other.prompt_ids)
