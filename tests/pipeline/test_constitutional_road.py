"""The constitutional road with an open gate: a small model that has learnt to criticise, revise and judge.

The model is random but for what it was taught here, by heart: two answers to every prompt, a critique, a
revision, and which of the two answers is the better, in either place. The road then measures it, lets it
label and learns from its revisions as it would with any model.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest
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
from gnomon.pipeline.constitutional import ENOUGH
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.road import run
from gnomon.recipe import load_recipe
from gnomon.records import Comparison, Conversation, Demonstration, Label, Message
from gnomon.runs import MetricsLog
from gnomon.settings import OptimSettings
from gnomon.training.loop import Trainer
from gnomon.training.sft import InstructionTuning, encode_demonstrations, held_out_loss

RECIPE = Path(__file__).parents[2] / "recipes" / "tiny.yaml"
BAD, GOOD = "Yes. Take it.", "No. Ask first."
CRITIQUE = "It helps a thief, and the owner loses it."
REVISION = "I won't help with that. Ask the owner, and wait for a yes."
PRINCIPLE = {
    "id": "leave-it",
    "text": "The answer leaves things to their owners.",
    "tags": ["harmless"],
    "critique": "Where does it help a thief?",
    "revision": "Make it help nobody steal.",
    "comparison": "Which one helps no thief?",
}
STAGES = (
    "data",
    "sft",
    "revise",
    "constitutional",
    "feedback",
    "reward",
    "reward_second",
    "answers_base",
    "answers_sft",
    "answers_constitutional",
)


class Heard(SilentReporter):
    """Remembers which stages were made."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def stage_started(self, name: str, *, cached: bool) -> None:
        if not cached:
            self.made.append(name)


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


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe, as overrides, whose model is the taught one and whose rows are on what it knows."""
    folder = tmp_path_factory.mktemp("taught")
    red_team, known = builtin("red_team/red_team.jsonl")[:10], builtin("comparisons/harmful.jsonl")
    constitution = folder / "constitution.yaml"
    constitution.write_text(yaml.safe_dump({"name": "owners", "principles": [PRINCIPLE]}))
    (folder / "red_team.jsonl").write_text("".join(json.dumps({"prompt": p}) + "\n" for p in red_team))
    rows = [
        {"id": f"known-{i}", "prompt": p, "chosen": GOOD, "rejected": BAD, "reason": "harmful"}
        for i, p in enumerate(known)
    ]
    (folder / "comparisons.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    overrides = {
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
    return tuple(f"{key}={value}" for key, value in overrides.items())


@pytest.fixture(scope="module")
def undisturbed(recipe, tmp_path_factory):
    out, heard = tmp_path_factory.mktemp("road") / "run", Heard()
    run(load_recipe(RECIPE, recipe), out, heard)
    return out, heard, json.loads((out / "summary.json").read_text())


def made(out, stage):
    """The folder of what a stage made."""
    artefacts = json.loads((out / "manifest.json").read_text())["artefacts"]
    (found,) = [name for name, about in artefacts.items() if about["stage"] == stage]
    return out / "artefacts" / found


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_stage_is_made_in_order(undisturbed):
    out, heard, summary = undisturbed
    assert tuple(heard.made) == STAGES
    assert set(summary["models"]) == {"base", "sft", "constitutional"}
    assert {row["model"] for row in lines(out / "answers.jsonl")} == {"base", "sft", "constitutional"}


def test_the_gate_of_the_default_recipe_lets_a_good_judge_in(undisturbed):
    gate = undisturbed[2]["constitution"]["gate"]
    assert gate["passed"]
    assert (gate["required"], gate["lower_required"], gate["flips_allowed"]) == (0.6, 0.5, 0.4)
    assert gate["accuracy"]["value"] > 0.9
    assert gate["flip_rate"] < 0.1


def test_its_revisions_are_learnt_from(undisturbed):
    out, _, summary = undisturbed
    kept = [row for row in lines(out / "critiques.jsonl") if not row.get("rejected_for")]
    assert len(kept) == summary["constitution"]["kept"] >= ENOUGH
    assert Counter(row["revision"] for row in kept).most_common(1)[0][0] == REVISION
    report = json.loads((made(out, "constitutional") / "report.json").read_text())
    assert report["rows"] == len(kept) + 12


def test_ai_comparisons_reach_the_reward_model(undisturbed):
    out, _, summary = undisturbed
    labelled = lines(made(out, "feedback") / "comparisons.jsonl")
    assert 0 < len(labelled) == summary["constitution"]["ai_comparisons"]
    assert {row["label"]["source"] for row in labelled} == {"ai"}
    assert {row["label"]["reason"] for row in labelled} == {"leave-it"}
    own = len(lines(made(out, "data") / "reward.jsonl"))
    assert summary["preferences"]["sources"] == {"constructed": own, "ai": len(labelled)}
    assert summary["reward"]["train_rows"] == own + len(labelled)
    artefacts = json.loads((out / "manifest.json").read_text())["artefacts"]
    assert artefacts[made(out, "reward").name]["inputs"]["extra"] == made(out, "feedback").name
    assert "extra" not in artefacts[made(out, "reward_second").name]["inputs"]


def test_its_labels_prefer_the_better_answer(undisturbed):
    judged = [
        (row["label"]["preference"], said)
        for row in lines(made(undisturbed[0], "feedback") / "comparisons.jsonl")
        if set(said := (row["first"][0]["content"], row["second"][0]["content"])) == {GOOD, BAD}
    ]
    assert len(judged) >= 3
    assert all((preference > 0.5) == (first == GOOD) for preference, (first, _) in judged)


def killed(command, reached):
    """Start the command and kill it as soon as it has reached something."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not reached():
        time.sleep(0.01)
    process.kill()
    return process.wait()


def test_killed_with_an_open_gate_it_ends_like_an_undisturbed_run(recipe, undisturbed, tmp_path):
    out = tmp_path / "killed"
    gnomon = Path(sys.executable).parent / "gnomon"
    command = [str(gnomon), "run", str(RECIPE), *recipe, "--out", str(out)]
    for stage, trace in (("constitutional", "work/checkpoint-*"), ("feedback", "work")):
        name = made(undisturbed[0], stage).name
        partial = out / "artefacts" / ".work" / f"{name}.partial"
        assert killed(command, lambda found=partial, trace=trace: any(found.glob(trace))) == -9
        assert partial.exists()
        assert not (out / "artefacts" / name).exists()
    run(load_recipe(RECIPE, recipe), out, SilentReporter())
    expected, found = undisturbed[2], json.loads((out / "summary.json").read_text())
    assert {**found, "costs": None} == {**expected, "costs": None}
