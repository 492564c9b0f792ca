"""Every objective on the tiny model, small enough that a test can take many steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from architectures import drawn_head, language_model
from torch import nn

from gnomon.config import LoraSettings, RewardSettings
from gnomon.models.load import DTYPES, LanguageModel, load
from gnomon.models.lora import TRAINED, add_lora, freeze_reference
from gnomon.models.reward_model import Scorer
from gnomon.models.templates import Template
from gnomon.records import Comparison, Conversation, Demonstration, Label
from gnomon.rollouts.engine import Sample, Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.runs import MetricsLog
from gnomon.settings.base import AdamSettings, OptimSettings
from gnomon.settings.policy import PolicySettings
from gnomon.settings.preference import OWN, PreferenceSettings
from gnomon.training.loop import Evaluation, Trainer
from gnomon.training.objective import Objective
from gnomon.training.offline import offline
from gnomon.training.pairs import encode_comparisons
from gnomon.training.policy import PolicyOptimisation, PolicyPrompts
from gnomon.training.reward import RewardModelling
from gnomon.training.sft import InstructionTuning, encode_demonstrations

KINDS = ("sft", "reward", "preference", "policy")
OFFLINE = tuple(loss for loss in OWN if loss != "dpo")
"""Losses of preferences beside that of "preference"; each is a kind as well."""
DEMONSTRATIONS = [
    Demonstration(f"d{i}", Conversation.of(prompt, response))
    for i, (prompt, response) in enumerate(
        [
            ("2+2?", "4"),
            ("Name a colour of the rainbow.", "Blue."),
            ("Hi!", "Hello, how can I help you today?"),
            ("Is ice cold?", "Yes"),
            ("Say ok", "ok"),
            ("Capital of France", "The capital of France is Paris."),
            ("x", "y"),
            ("Write three words about the sea, please.", "Blue, deep, wide"),
        ]
    )
]
COMPARISONS = [
    Comparison.of(
        f"c{i}", row.prompt, row.response, "No." * (i + 1), Label(1 - 0.05 * i, "person", weight=1 + i)
    )
    for i, row in enumerate(DEMONSTRATIONS)
]
PROMPTS = tuple(row.conversation.messages[0].content for row in DEMONSTRATIONS[:4])
HALF = 131
ADAPTERS = LoraSettings(rank=2)


@dataclass(frozen=True)
class Built:
    """A module and what trains it."""

    module: nn.Module
    objective: Any
    settings: OptimSettings
    apart: Mapping[str, AdamSettings] = field(default_factory=dict)
    evaluation: Evaluation | None = None

    def trainer(self, work: Path, progress: Callable[[int, int, str], None] | None = None) -> Trainer:
        """A trainer that works and logs in `work`."""
        more = {"evaluation": self.evaluation} | ({} if progress is None else {"progress": progress})
        metrics = MetricsLog(work / "metrics.jsonl")
        made = Trainer(self.module, self.objective, self.settings, work=work, metrics=metrics, **more)
        for prefix, settings in self.apart.items():
            made.apart(prefix, settings)
        return made


def tiny(dtype: str) -> LanguageModel:
    """The tiny model."""
    return load("tiny:0", dtype=dtype)


def architecture(name: str) -> Callable[[str], LanguageModel]:
    """A random model of an architecture; of its 259 tokens 37 end a turn, so that responses are ragged."""

    def base(dtype: str) -> LanguageModel:
        lm = language_model(name, DTYPES[dtype])
        lm.template = Template(lm.tokenizer, range(3, 40))
        return lm

    return base


def low(samples: Sequence[Sample]) -> list[float]:
    """The share of each response's tokens that are in the lower half of the vocabulary."""
    return [sum(token < HALF for token in s.response_ids) / len(s.response_ids) for s in samples]


def build(
    kind: str,
    *,
    dtype: str = "float32",
    lora: LoraSettings | None = ADAPTERS,
    optim: dict[str, Any] | None = None,
    policy: dict[str, Any] | None = None,
    preference: dict[str, Any] | None = None,
    reward: Callable[[Sequence[Sample]], list[float]] = low,
    base: Callable[[str], LanguageModel] = tiny,
    prompts: Sequence[str] = PROMPTS,
) -> Built:
    """The objective `kind` with its module; a step takes all eight rows unless `optim` says less.

    `base` makes the model that is trained, and its reference where there are no adapters.
    """
    lm = base(dtype)
    if lora is not None:
        lm = add_lora(lm, lora, seed=1)
    settings = OptimSettings(
        **({"lr": 1e-2, "batch_size": 8, "epochs": 6, "checkpoint_every": 2} | (optim or {}))
    )
    objective: Objective
    match kind:
        case "sft":
            objective = InstructionTuning(
                lm, encode_demonstrations(lm, DEMONSTRATIONS, 200), settings, seed=0
            )
            return Built(lm.model, objective, settings)
        case "reward":
            scorer = Scorer(lm, drawn_head(lm))
            data = encode_comparisons(lm, COMPARISONS, 200)
            objective = RewardModelling(scorer, data, RewardSettings(optim=settings), seed=0)
            return Built(scorer.model, objective, settings)
    own = chosen(kind, preference or {}) if kind in ("preference", *OFFLINE) else {}
    free = own and not PreferenceSettings(**own).needs_reference
    if lora is not None and not free:
        freeze_reference(lm.model)
    reference = base(dtype) if lora is None and not free else None
    if own:
        data = encode_comparisons(lm, COMPARISONS, 200)
        objective = offline(lm, data.pairs, PreferenceSettings(optim=settings, **own), 0, reference)
        return Built(lm.model, objective, settings)
    encoded = tuple(tuple(lm.encode_prompt(Conversation.of(prompt))) for prompt in prompts)
    plain = {"temperature": 1.0, "missing_end": 0.0, "score_bound": None, "length_neutral": False}
    given = plain | {"steps": 6, "samples": 2, "max_new_tokens": 6} | (policy or {})
    objective = PolicyOptimisation(
        lm,
        LocalEngine(lm),
        reward,
        PolicyPrompts(tuple(prompts), encoded),
        PolicySettings(optim=settings, **given),
        seed=0,
        reference=reference,
    )
    return Built(lm.model, objective, settings)


def chosen(kind: str, preference: dict[str, Any]) -> dict[str, Any]:
    """Settings of a loss of preferences, by its kind; `robust_dpo` has to have flips to correct for."""
    loss = "dpo" if kind == "preference" else kind
    return {"loss": loss} | ({"label_smoothing": 0.1} if loss == "robust_dpo" else {}) | preference


def move(model: Any, seed: int = 3, adapter: str = TRAINED) -> Any:
    """What training does: adapters (or, without any, all weights) are no longer what they were."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if f"lora_B.{adapter}." in name or ("lora" not in name and parameter.requires_grad):
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.add_(noise.to(parameter.dtype), alpha=0.2 if "lora" in name else 0.02)
    return model


def learnt_by_heart(
    lm: LanguageModel, rows: Sequence[Demonstration], work: Path, settings: OptimSettings
) -> list[Sample]:
    """What the model answers greedily to the prompts of rows it was trained on."""
    objective = InstructionTuning(lm, encode_demonstrations(lm, rows, 200), settings, seed=0)
    Trainer(lm.model, objective, settings, work=work, metrics=MetricsLog(work / "metrics.jsonl")).run()
    return LocalEngine(lm).answer([row.prompt for row in rows], Sampling(60, temperature=0.0))
