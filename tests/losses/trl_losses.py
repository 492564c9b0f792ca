"""What TRL's own trainers make of pairs of answers: run in an environment that has it, JSON in and JSON out.

Its losses are methods of trainers; they are called with what they read of one and no more.
"""

import json
import sys
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import torch
from trl.experimental.cpo.cpo_trainer import CPOTrainer
from trl.experimental.orpo.orpo_trainer import ORPOTrainer
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer

ACCELERATOR = SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x)


def rows(answers: list[list[float]]) -> torch.Tensor:
    """Log-probs [answers, tokens] of padded answers; what is not there has none."""
    longest = max(map(len, answers))
    padded = [[*own, *[0.0] * (longest - len(own))] for own in answers]
    return torch.tensor(padded, dtype=torch.float64)


def model(answers: list[list[float]]) -> Any:
    """A model that says these log-probs of whatever it is asked."""
    logps = rows(answers)
    nothing = torch.zeros_like(logps)
    told = SimpleNamespace(log_probs=logps, entropy=nothing, mean_logits=nothing, is_top1=nothing.bool())
    return lambda **asked: told


def inputs(answers: list[list[float]]) -> dict[str, torch.Tensor]:
    """Answers after a prompt of one token."""
    width = 1 + max(map(len, answers))
    mask = torch.tensor([[0, *[1] * len(own), *[0] * (width - 1 - len(own))] for own in answers])
    return {"input_ids": torch.ones_like(mask), "attention_mask": mask, "completion_mask": mask}


class Trained(torch.nn.Module):
    """What a trainer asks about the model itself."""

    is_gradient_checkpointing = False


def trainer(**own: Any) -> Any:
    """What a trainer's loss reads of it."""
    return SimpleNamespace(
        model=Trained(),
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
        accelerator=ACCELERATOR,
        aux_loss_enabled=False,
        precompute_ref_logps=False,
        use_weighting=False,
        f_divergence_type="reverse_kl",
        loss_weights=[1.0],
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
        _tp_size=1,
        **{"ld_alpha": None, "label_smoothing": 0.0, "beta": 0.1, "alpha": 0.0, **own},
    )


def dpo(pair: dict[str, Any], loss_type: str, **own: Any) -> float:
    policy, reference = (model(pair[name]) for name in ("policy", "reference"))
    self = trainer(loss_types=[loss_type], ref_model=reference, **own)
    return float(DPOTrainer._compute_loss(self, policy, inputs(pair["policy"]), False))


def kto(pair: dict[str, Any], baseline: float, **own: Any) -> float:
    policy, reference = (model(pair[name]) for name in ("policy", "reference"))
    self = trainer(loss_type="kto", ref_model=reference, calculate_KL=True, **own)
    self._compute_kl_logps = lambda asked, batch: torch.tensor([baseline if asked is policy else 0.0])
    batch = inputs(pair["policy"]) | {"label": torch.tensor([True, False])}
    return float(KTOTrainer._compute_loss(self, policy, batch, False))


def sums(pair: dict[str, Any], *, mean: bool) -> list[torch.Tensor]:
    each = [torch.tensor(own, dtype=torch.float64) for own in pair["policy"]]
    return [(own.mean() if mean else own.sum())[None] for own in each]


def cpo(pair: dict[str, Any], loss_type: str, **own: Any) -> float:
    logps = sums(pair, mean=loss_type == "simpo")
    return float(CPOTrainer.cpo_loss(trainer(loss_type=loss_type, **own), *logps)[0])


def orpo(pair: dict[str, Any], **own: Any) -> float:
    rounding = torch.Tensor.float
    torch.Tensor.float = lambda tensor: tensor  # to float32, which it would be compared in
    try:
        return -float(ORPOTrainer.odds_ratio_loss(trainer(**own), *sums(pair, mean=True))[0])
    finally:
        torch.Tensor.float = rounding


FAMILIES = {"dpo": dpo, "kto": kto, "cpo": cpo, "orpo": orpo}

if __name__ == "__main__":
    asked = json.load(sys.stdin)
    found = {
        case: [FAMILIES[family](pair, **settings) for pair in asked["pairs"]]
        for case, (family, settings) in asked["cases"].items()
    }
    json.dump(found, sys.stdout)
