"""A small model that has learnt by heart to criticise, revise and judge, and a recipe for it."""

import json
from importlib.resources import files

import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from gnomon.config import ModelSettings
from gnomon.constitution.principles import load_constitution
from gnomon.constitution.revise import Step, critique_request, revision_request
from gnomon.judges.judgement import Criterion
from gnomon.judges.pairwise import choice_request
from gnomon.models.lora import load_trainable
from gnomon.models.save import save_model
from gnomon.models.tiny import tiny_tokenizer
from gnomon.records import Comparison, Conversation, Demonstration, Label, Message
from gnomon.runs import MetricsLog
from gnomon.settings.base import OptimSettings
from gnomon.training.loop import Trainer
from gnomon.training.sft import InstructionTuning, encode_demonstrations, held_out_loss

BAD, GOOD = "Yes. Take it.", "No. Ask first."
CRITIQUE = "It helps a thief, and the owner loses it."
REVISION = "I won't help with that. Ask the owner, and wait for a yes."
OPEN = ("data.limit=60", "constitution.gate_lower=0.3", "constitution.pairs=2")
"""Overrides of a road with rows enough for a gate that the taught model passes."""
PRINCIPLE = {
    "id": "leave-it",
    "text": "The answer leaves things to their owners.",
    "tags": ["harmless"],
    "critique": "Where does it help a thief?",
    "revision": "Make it help nobody steal.",
    "comparison": "Which one helps no thief?",
}


def builtin(name):
    """The one-turn prompts of a file of the package."""
    text = files("gnomon.data").joinpath("builtin", name).read_text(encoding="utf-8")
    prompts = [json.loads(line)["prompt"] for line in text.splitlines()]
    return [prompt for prompt in prompts if isinstance(prompt, str)]


def lessons(prompts, constitution):
    """What the model is to know by heart: rows of a conversation and its end."""
    (principle,) = load_constitution(str(constitution)).principles
    criterion = Criterion(principle.id, principle.text, principle.comparison)
    rows = []
    for number, prompt in enumerate(map(Conversation.of, prompts)):
        step = Step("s", prompt, (GOOD, BAD)[number % 2], principle)
        pair = Comparison.of("c", prompt, GOOD, BAD, Label(1.0, "constructed"))
        judged = [(pair, "(A)"), (pair.swap(), "(B)")]
        rows += [(prompt, GOOD), (prompt, BAD)]
        rows += [(critique_request(step), CRITIQUE), (revision_request(step, CRITIQUE), REVISION)]
        rows += 3 * [(Conversation.of(choice_request(p, criterion)), letter) for p, letter in judged]
    return [
        Demonstration(f"d{i}", c.then(Message("assistant", said)), "") for i, (c, said) in enumerate(rows)
    ]


def teach(rows, folder):
    """A random two-layer model with a vocabulary of these rows, tuned until it knows them."""
    texts = [message.content for row in rows for message in row.conversation.messages]
    tokenizer = tiny_tokenizer().train_new_from_iterator(texts, 1500)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "random")
    tokenizer.save_pretrained(folder / "random")
    settings = ModelSettings(ref=f"path:{folder / 'random'}", dtype="float32", lora=None, max_length=1024)
    lm = load_trainable(settings.ref, settings, seed=0)
    optim = OptimSettings(lr=4e-3, epochs=32, batch_size=8, micro_tokens=4096, checkpoint_every=10_000)
    encoded = encode_demonstrations(lm, rows, settings.max_length)
    tuning = InstructionTuning(lm, encoded, optim, seed=0)
    Trainer(lm.model, tuning, optim, work=folder / "work", metrics=MetricsLog(folder / "metrics.jsonl")).run()
    assert held_out_loss(lm, encoded, optim.micro_tokens) < 0.05  # it knows its lessons
    save_model(lm, folder / "taught", "Taught by a test.")
    return folder / "taught"


def overrides(folder):
    """A recipe, as overrides, whose model is the taught one and whose rows are on what it knows."""
    red_team, known = builtin("red_team/red_team.jsonl")[:10], builtin("comparisons/harmful.jsonl")
    constitution = folder / "constitution.yaml"
    constitution.write_text(yaml.safe_dump({"name": "owners", "principles": [PRINCIPLE]}))
    (folder / "red_team.jsonl").write_text("".join(json.dumps({"prompt": p}) + "\n" for p in red_team))
    rows = [
        {"id": f"known-{i}", "prompt": p, "chosen": GOOD, "rejected": BAD, "reason": "harmful"}
        for i, p in enumerate(known)
    ]
    (folder / "comparisons.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {
        "model.ref": f"path:{teach(lessons(red_team, constitution), folder)}",
        "model.max_length": 1024,
        "data.constitution": constitution,
        "data.red_team": f"[{folder / 'red_team.jsonl'}]",
        "data.comparisons": f"[{folder / 'comparisons.jsonl'}]",
        "data.limit": 20,
        "sft.optim.lr": 1e-5,
        "reward.optim.epochs": 1,
        "policy": "null",
        "constitution.optim.batch_size": 4,
        "constitution.optim.checkpoint_every": 1,
        "constitution.helpful": 12,
        "evaluation.bootstrap": 200,
        "evaluation.max_new_tokens": 8,
    }
    return tuple(f"{key}={value}" for key, value in settings.items())
