"""Adapters: putting them on, keeping a frozen copy as the reference, taking them off for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, get_peft_model

from gnomon.config import LoraSettings, ModelSettings
from gnomon.errors import ConfigError, ModelError
from gnomon.models.fuse import fused
from gnomon.models.load import LanguageModel, load, resolve
from gnomon.models.recompute import recompute_layers
from gnomon.models.reference import parse_model_ref

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
        torch.default_generator.manual_seed(seed)  # of the processor, where weights are drawn
        model = get_peft_model(lm.model, config)
    model.peft_config[TRAINED].base_model_name_or_path = lm.ref
    return LanguageModel(fused(model), lm.tokenizer, lm.template, lm.ref)


def load_trainable(ref: str, settings: ModelSettings, seed: int) -> LanguageModel:
    """A model ready to train: its saved adapters go on, or fresh ones are added, or every weight trains."""
    lm = _to_train(ref, settings, seed)
    if settings.activation_checkpointing:
        recompute_layers(lm.model)
    return lm


def _to_train(ref: str, settings: ModelSettings, seed: int) -> LanguageModel:
    source = resolve(parse_model_ref(ref)) if ref.startswith("path:") else ""
    if isinstance(source, Path) and (source / "adapter_config.json").exists():
        _expect_adapters(source, settings)
        return load(ref, dtype=settings.dtype, device=settings.loaded_to, trainable=True)
    if settings.lora is not None:
        return add_lora(load(ref, dtype=settings.dtype, device=settings.loaded_to), settings.lora, seed)
    return load(ref, dtype=settings.dtype, device=settings.loaded_to)


def _expect_adapters(folder: Path, settings: ModelSettings) -> None:
    """ConfigError where the settings speak of other adapters than those that will be trained on."""
    saved = PeftConfig.from_pretrained(str(folder))
    wanted = settings.lora
    rank, alpha, dropout = saved.r, saved.lora_alpha, saved.lora_dropout
    if wanted is None or (rank, alpha, dropout) != (wanted.rank, wanted.alpha, wanted.dropout):
        raise ConfigError(
            f"the model in {folder} has adapters of rank {rank}, alpha {alpha:g} and dropout {dropout:g}, "
            f"and these go on; set model.lora.rank={rank} model.lora.alpha={alpha:g} "
            f"model.lora.dropout={dropout:g}, or export the model first"
        )


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
    trainable = {p: p.requires_grad for p in model.parameters()}
    model.set_adapter(REFERENCE, inference_mode=True)
    try:
        yield
    finally:
        model.set_adapter(TRAINED)
        for parameter, trains in trainable.items():
            parameter.requires_grad_(requires_grad=trains)


def check_reference(lm: LanguageModel, reference: LanguageModel | None) -> None:
    """ModelError where `reference_of` would have nothing to answer with."""
    if reference is None and not (has_adapters(lm.model) and REFERENCE in lm.model.peft_config):
        raise ModelError(
            "the policy has no frozen copy of itself to be measured against; call freeze_reference before it "
            "is trained, or hand in a reference model"
        )


@contextmanager
def reference_of(lm: LanguageModel, reference: LanguageModel | None) -> Iterator[LanguageModel]:
    """What answers as the policy's reference: a frozen model, or inside the block its own frozen adapters."""
    if reference is not None:
        yield reference
    else:
        with as_reference(lm.model):
            yield lm


@torch.no_grad()
def interpolate(lm: LanguageModel, reference: LanguageModel | None, share: float) -> None:
    """Move the trained weights back, to `share` of their way from the policy's reference.

    Linear interpolation towards the initialisation (LITI), the last stage of WARP (arXiv:2406.16768).
    """
    start = dict((lm if reference is None else reference).model.named_parameters())
    for name, parameter in lm.model.named_parameters():
        if parameter.requires_grad:
            before = name if reference is not None else name.replace(f".{TRAINED}.", f".{REFERENCE}.")
            parameter.lerp_(start[before].to(parameter.dtype), 1 - share)
