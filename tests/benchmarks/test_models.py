"""The model of a billion weights, as a shape, and made small."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from gnomon.models.load import load
from models import BILLION, MODELS, made, reference
from work import TINY, write_job

SMALL = BILLION | {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}


def test_a_billion_is_no_less():
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(LlamaConfig(**BILLION))
    assert sum(p.numel() for p in model.parameters()) == 1_235_814_400


def test_a_model_that_is_made_is_the_same_each_time_and_can_be_worked_on(tmp_path: Path):
    refs = [made(tmp_path / name, SMALL) for name in ("one", "other")]
    one, other = (load(ref, device="cpu").model.state_dict() for ref in refs)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert one["model.embed_tokens.weight"].dtype == torch.bfloat16
    assert bool(one["model.embed_tokens.weight"].any())
    (tmp_path / "job").mkdir()
    job = write_job(tmp_path / "job", "policy", refs[0], TINY, 1)
    assert job["dtype"] == "bfloat16"
    tokenizer = load(refs[0], device="cpu").tokenizer
    assert tokenizer.decode([SMALL["vocab_size"] - 1, 70]) == tokenizer.decode([70]), "no word says nothing"
    assert max(token for row in job["rows"] for token in row["ids"]) < SMALL["vocab_size"]


def test_models_that_are_there_are_not_made(tmp_path: Path):
    assert reference("tiny", tmp_path) == "tiny:0"
    assert reference("default", tmp_path).startswith("gguf:")
    assert not list(tmp_path.iterdir())
    assert MODELS["billion"].size.row > MODELS["default"].size.row
