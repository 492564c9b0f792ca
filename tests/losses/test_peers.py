"""Our losses of preferences beside those of TRL, on the same log-probs."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close
from verdicts import kto_of_pairs

from gnomon.losses.anchored import apo_down, apo_zero
from gnomon.losses.length_aware import desensitised
from gnomon.losses.preference import PairLogps, dpo, hinge, ipo, robust_dpo
from gnomon.losses.reference_free import cpo, odds_ratio, preferred_nll, simpo

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
PEERS = Path(os.environ.get("GNOMON_TEST_PEERS") or HERE.parents[1] / ".venv-peers" / "bin" / "python")
"""An interpreter that has TRL; `make peers` installs one."""

WEIGHTS = {"beta": 0.3, "desirable_weight": 1.3, "undesirable_weight": 0.6}
Ours = Callable[[PairLogps, torch.Tensor], torch.Tensor]
CASES: dict[str, tuple[str, dict[str, Any], Ours]] = {
    "dpo": ("dpo", {"loss_type": "sigmoid", "beta": 0.3}, lambda pair, p: dpo(pair, p, beta=0.3)),
    "robust_dpo": (
        "dpo",
        {"loss_type": "robust", "beta": 0.3, "label_smoothing": 0.2},
        lambda pair, p: robust_dpo(pair, p, beta=0.3, flips=0.2),
    ),
    "ipo, average": (
        "dpo",
        {"loss_type": "ipo", "beta": 0.7},
        lambda pair, p: ipo(pair, p, beta=0.7, average=True),
    ),
    "ipo": ("cpo", {"loss_type": "ipo", "beta": 0.2}, lambda pair, p: ipo(free(pair), p, beta=0.2)),
    "hinge": ("dpo", {"loss_type": "hinge", "beta": 0.1}, lambda pair, p: hinge(pair, p, beta=0.1)),
    "ld_dpo": (
        "dpo",
        {"loss_type": "sigmoid", "beta": 0.3, "ld_alpha": 0.4},
        lambda pair, p: dpo(pair, p, beta=0.3),
    ),
    "preferred_nll": ("dpo", {"loss_type": "sft"}, preferred_nll),
    "apo_zero": ("dpo", {"loss_type": "apo_zero", "beta": 0.3}, lambda pair, p: apo_zero(pair, p, beta=0.3)),
    "apo_down": ("dpo", {"loss_type": "apo_down", "beta": 0.3}, lambda pair, p: apo_down(pair, p, beta=0.3)),
    "kto": (
        "kto",
        WEIGHTS | {"baseline": 0.75},
        lambda pair, p: kto_of_pairs(pair, p, baseline=pair.first.new_tensor(0.75), **WEIGHTS),
    ),
    "cpo": ("cpo", {"loss_type": "sigmoid", "beta": 0.2}, lambda pair, p: cpo(pair, p, beta=0.2)),
    "cpo, smoothed": (
        "cpo",
        {"loss_type": "sigmoid", "beta": 0.2, "label_smoothing": 0.2},
        lambda pair, p: cpo(pair, 0.8 * p, beta=0.2),
    ),
    "simpo": (
        "cpo",
        {"loss_type": "simpo", "beta": 2.5, "simpo_gamma": 0.7},
        lambda pair, p: simpo(pair, p, beta=2.5, gamma=0.7),
    ),
    "odds_ratio": ("orpo", {"beta": 0.3}, lambda pair, p: odds_ratio(pair, p, odds_weight=0.3)),
}


def answers() -> list[dict[str, list[list[float]]]]:
    """Log-probs of the tokens of two answers under policy and reference, of several lengths."""
    torch.manual_seed(8)
    found = []
    for lengths in ((3, 7), (6, 2), (4, 4), (1, 5), (9, 8)):
        policy = [-2 * torch.rand(n, dtype=torch.float64) - 0.01 for n in lengths]
        reference = [own + torch.randn(len(own), dtype=torch.float64) for own in policy]
        found.append(
            {"policy": [own.tolist() for own in policy], "reference": [own.tolist() for own in reference]}
        )
    return found


def free(pair: PairLogps) -> PairLogps:
    """Without its reference."""
    zero = torch.zeros_like(pair.first)
    return PairLogps(pair.first, pair.second, zero, zero, pair.first_tokens, pair.second_tokens)


def logps(pairs: list[dict[str, list[list[float]]]], tail_weight: float) -> PairLogps:
    """As our losses read them."""

    def read(pair: dict[str, list[list[float]]], model: str) -> tuple[torch.Tensor, torch.Tensor]:
        first, second = (torch.tensor(own, dtype=torch.float64) for own in pair[model])
        return desensitised(first, second, tail_weight=tail_weight)

    each = [[read(pair, model) for pair in pairs] for model in ("policy", "reference")]
    sums = [torch.stack([pair[i] for pair in own]) for own in each for i in (0, 1)]
    tokens = [torch.tensor([len(pair["policy"][i]) for pair in pairs]) for i in (0, 1)]
    return PairLogps(*sums, *tokens)


@pytest.fixture(scope="module")
def theirs() -> dict[str, list[float]]:
    if not PEERS.exists():
        pytest.skip(f"{PEERS} is not there; make peers installs it, or set GNOMON_TEST_PEERS")
    asked = {"pairs": answers(), "cases": {case: told for case, (*told, _) in CASES.items()}}
    done = subprocess.run(
        [str(PEERS), str(HERE / "trl_losses.py")],
        input=json.dumps(asked),
        env={
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "TRL_EXPERIMENTAL_SILENCE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("case", CASES)
def test_a_loss_is_that_of_trl(case, theirs):
    _, settings, ours = CASES[case]
    pairs = logps(answers(), settings.get("ld_alpha", 1.0))
    found = ours(pairs, torch.ones(len(pairs.first), dtype=torch.float64))
    assert_close(found, torch.tensor(theirs[case], dtype=torch.float64), rtol=1e-6, atol=1e-12)
    assert found.std() > 1e-3
