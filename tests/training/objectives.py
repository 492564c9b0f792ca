"""Every objective on the tiny model, small enough that a test can take many steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from architectures import drawn_head
from torch import nn

from gnomon.config import LoraSettings, OptimSettings, PolicySettings, PreferenceSettings, RewardSettings
from gnomon.models.load import load
from gnomon.models.lora import add_lora, freeze_reference
from gnomon.models.reward_model import Scorer
from gnomon.records import Comparison, Conversation, Demonstration, Label
from gnomon.rollouts.engine import Sample
from gnomon.rollouts.local import LocalEngine
from gnomon.runs import MetricsLog
from gnomon.training.loop import Trainer
from gnomon.training.objective import Objective
from gnomon.training.pairs import encode_comparisons
from gnomon.training.policy import PolicyOptimisation, PolicyPrompts
from gnomon.training.preference import PreferenceOptimisation
from gnomon.training.reward import RewardModelling
from gnomon.training.sft import InstructionTuning, encode_demonstrations

KINDS = ("sft", "reward", "preference", "policy")
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

    def trainer(self, work: Path, progress: Callable[[int, int, str], None] | None = None) -> Trainer:
        """A trainer that works and logs in `work`."""
        more = {} if progress is None else {"progress": progress}
        metrics = MetricsLog(work / "metrics.jsonl")
        return Trainer(self.module, self.objective, self.settings, work=work, metrics=metrics, **more)


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
    reward: Callable[[Sequence[Sample]], list[float]] = low,
) -> Built:
    """The objective `kind` with its module; a step takes all eight rows unless `optim` says less."""
    lm = load("tiny:0", dtype=dtype)
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
    if lora is not None:
        freeze_reference(lm.model)
    reference = load("tiny:0", dtype=dtype) if lora is None else None
    if kind == "preference":
        data = encode_comparisons(lm, COMPARISONS, 200)
        objective = PreferenceOptimisation(lm, data, PreferenceSettings(optim=settings), 0, reference)
        return Built(lm.model, objective, settings)
    prompts = PolicyPrompts(
        PROMPTS, tuple(tuple(lm.encode_prompt(Conversation.of(prompt))) for prompt in PROMPTS)
    )
    plain = {"temperature": 1.0, "missing_end": 0.0, "score_bound": None, "length_neutral": False}
    own = plain | {"steps": 6, "samples": 2, "max_new_tokens": 6} | (policy or {})
    objective = PolicyOptimisation(
        lm,
        LocalEngine(lm),
        reward,
        prompts,
        PolicySettings(optim=settings, **own),
        seed=0,
        reference=reference,
    )
    return Built(lm.model, objective, settings)
