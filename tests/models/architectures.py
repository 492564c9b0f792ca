"""Random two-layer models of the architectures people train, 32 wide, built from their configs."""

from typing import Any

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from gnomon.models.load import LanguageModel, load
from gnomon.models.reward_model import RewardModel
from gnomon.models.settle import settled

VOCABULARY = 259  # the tiny tokenizer's, so that one tokenizer serves them all
COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
}
SLIDING = {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]}
BUILD = {
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=256,
            n_embd=32,
            n_layer=2,
            n_head=4,
            eos_token_id=1,
            bos_token_id=2,
        )
    ),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**COMMON)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**COMMON)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**COMMON)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**COMMON, sliding_window=6)),
    "gemma2": lambda: Gemma2ForCausalLM(
        Gemma2Config(**COMMON, **SLIDING, query_pre_attn_scalar=8, final_logit_softcapping=2.0)
    ),
    "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**COMMON, **SLIDING, query_pre_attn_scalar=8)),
    "phi3": lambda: Phi3ForCausalLM(Phi3Config(**COMMON)),
    "phi": lambda: PhiForCausalLM(PhiConfig(**COMMON)),  # its head has a bias
}
NAMES = tuple(BUILD)


def random_model(name: str, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Any:
    """The architecture with weights large enough that its distributions are far from uniform."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BUILD[name]()
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                torch.nn.init.normal_(parameter, std=0.3)
        shift = model.get_output_embeddings().bias
        if shift is not None:
            torch.nn.init.normal_(shift)
    return settled(model.to(dtype).eval())


def language_model(
    name: str = "llama", dtype: torch.dtype = torch.float32, *, seed: int = 0
) -> LanguageModel:
    """The architecture with the tiny tokenizer and the plain template."""
    lm = load("tiny:0")
    return LanguageModel(random_model(name, seed=seed, dtype=dtype), lm.tokenizer, lm.template, "tiny:0")


def drawn_head(lm: LanguageModel, heads: int = 1) -> RewardModel:
    """A reward model whose scores differ: a new one gives every row 0."""
    model = RewardModel(lm, heads=heads)
    generator = torch.Generator().manual_seed(5)
    torch.nn.init.normal_(model.score.weight, std=model.score.in_features**-0.5, generator=generator)
    return model
