"""The models that work is timed on, by the names the command line knows, and how much a step is of each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from gnomon.config import DEFAULT_MODEL
from gnomon.models.tiny import tiny_tokenizer
from work import SEED, TINY, Size

BILLION: dict[str, Any] = {
    "vocab_size": 128_256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
}
"""The shape of Llama 3.2 1B, 1.24 billion weights. It reads a token a byte and may say any of its words."""


@dataclass(frozen=True)
class Timed:
    """A model by its reference (None: it is made) and the size of a step."""

    ref: str | None
    size: Size


MODELS = {
    "default": Timed(DEFAULT_MODEL, Size()),
    "tiny": Timed("tiny:0", TINY),
    "billion": Timed(None, Size(row=512, sampled=128, decoded_rows=64, decoded=128)),
}


def reference(name: str, folder: Path) -> str:
    """The reference of a model of `MODELS`; one that is made is written to FOLDER."""
    return MODELS[name].ref or made(folder, BILLION)


def made(folder: Path, shape: dict[str, Any]) -> str:
    """The reference of a Llama of this shape with random weights in bfloat16, the same ones each time."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        model = AutoModelForCausalLM.from_config(LlamaConfig(**shape), dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return f"path:{folder}"
