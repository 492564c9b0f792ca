"""What taking rare words' pull together costs in exactness, beside leaving them out.

Gradients of log-probs by the hidden states of built-in demonstrations, against float32 on the same states: of
single rows, and of all rows together, where errors that point one way add up.
"""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from gnomon.config import DataSettings
from gnomon.data.sources import read_data
from gnomon.kernels.fused import head_pass
from gnomon.kernels.head import Head
from gnomon.kernels.rare import RareWords
from gnomon.models.heads import output_head
from gnomon.models.load import LanguageModel, load
from gnomon.settings.base import OptimSettings
from gnomon.training import sft
from paired import measure_model

SEED, DEMONSTRATIONS, ROWS = 0, 64, 1024

Likely = Callable[[RareWords, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
TOGETHER: Likely = RareWords.likely


def every_word(own: RareWords, pulls: Tensor, weight: Tensor, shrunk: Tensor) -> tuple[Tensor, Tensor]:
    """Nothing is taken together."""
    return pulls, weight


def left_out(own: RareWords, pulls: Tensor, weight: Tensor, shrunk: Tensor) -> tuple[Tensor, Tensor]:
    """The word that stands for rare ones weighs nothing."""
    few, weights = TOGETHER(own, pulls, weight, shrunk)
    if len(weights) < len(weight):
        weights[0] = 0
    return few, weights


def states_and_labels(lm: LanguageModel) -> tuple[Tensor, Tensor]:
    """Hidden states that predict demonstrations' tokens, and those tokens."""
    rows = sft.encode_demonstrations(lm, islice(read_data(DataSettings(), SEED).sft, DEMONSTRATIONS), 512)
    objective = sft.InstructionTuning(lm, rows, OptimSettings(batch_size=len(rows.rows), epochs=1), SEED)
    batches: list[sft.TokenBatch] = [micro.tensors for micro in objective.prepare(0).micros]
    with torch.no_grad():
        states = [sft.branch_states(lm.model, batch.rows)[batch.before] for batch in batches]
    return torch.cat(states)[:ROWS], torch.cat([batch.labels for batch in batches])[:ROWS]


WAYS: dict[str, Likely] = {
    "every word": every_word,
    "rare words left out": left_out,
    "rare words together": TOGETHER,
}


def measure(model: str) -> dict[str, Any]:
    """Relative errors of the gradient in each way, and the share of words that it was multiplied with."""
    lm = load(model)
    states, labels = states_and_labels(lm)
    weight, each = output_head(lm.model).weight.detach(), torch.ones(len(labels))
    exact = head_pass(states.float(), Head(weight.float()), labels, each).grad_hidden
    assert exact is not None
    results = {}
    for name, likely in WAYS.items():
        words: list[int] = []

        def counted(*given: Any, way: Likely = likely, words: list[int] = words) -> tuple[Tensor, Tensor]:
            few, weights = way(*given)
            words.append(len(weights))
            return few, weights

        with patch.object(RareWords, "likely", counted):
            grad = head_pass(states, Head(weight), labels, each).grad_hidden
        assert grad is not None
        off = grad.float() - exact
        results[name] = {
            "words": sum(words) / len(weight),
            "rows": float(off.norm() / exact.norm()),
            "sum": float(off.sum(dim=0).norm() / exact.sum(dim=0).norm()),
        }
        print(name, results[name], flush=True)
    return {"rows": len(labels), "ways": results}


def main() -> None:
    """Measure, write results.json, and say what came out."""
    measure_model(__doc__, Path(__file__), SEED, measure)


if __name__ == "__main__":
    main()
