"""Adapters: putting them on, keeping a frozen copy as the reference, taking them off for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from gnomon.config import LoraSettings
from gnomon.models.load import LanguageModel

TRAINED = "default"
REFERENCE = "reference"


def add_lora(lm: LanguageModel, settings: LoraSettings, seed: int) -> LanguageModel:
    """Fresh adapters on every linear layer of the body; the same weights for the same seed."""
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = get_peft_model(lm.model, config)
    model.peft_config[TRAINED].base_model_name_or_path = lm.ref
    return LanguageModel(model, lm.tokenizer, lm.template, lm.ref)


def has_adapters(model: Any) -> bool:
    """Whether the model carries LoRA adapters."""
    return hasattr(model, "peft_config")


def freeze_reference(model: Any) -> None:
    """Keep the adapters as they are now under the name `reference`, frozen, beside those in training."""
    model.add_adapter(REFERENCE, model.peft_config[TRAINED])
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in weights.items():
            if f".{REFERENCE}." in name:
                parameter.copy_(weights[name.replace(f".{REFERENCE}.", f".{TRAINED}.")])
                parameter.requires_grad_(requires_grad=False)
    model.set_adapter(TRAINED)


@contextmanager
def as_reference(model: Any) -> Iterator[None]:
    """Inside the block the model answers with its frozen reference adapters."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    model.set_adapter(REFERENCE, inference_mode=True)
    try:
        yield
    finally:
        model.set_adapter(TRAINED)
        for parameter in trainable:
            parameter.requires_grad_(requires_grad=True)
