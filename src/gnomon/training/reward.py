"""Reward modelling: Bradley-Terry on comparisons, both answers of a pair after one prompt."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from gnomon.config import RewardSettings
from gnomon.data.collate import Epochs
from gnomon.distributed import spread_over
from gnomon.losses.reward import bradley_terry, centring, smoothed
from gnomon.models.branches import branch_states
from gnomon.models.reward_model import Scorer
from gnomon.records import Comparison
from gnomon.training.objective import Micro, StepWork
from gnomon.training.pairs import EncodedPairs, PairBatch, pair_micros


class RewardModelling:
    """Mean over the step's pairs of the Bradley-Terry loss, plus the centring term."""

    def __init__(self, scorer: Scorer, data: EncodedPairs, settings: RewardSettings, seed: int) -> None:
        self.scorer, self.pairs, self.settings = scorer, data.pairs, settings
        lengths, optim = [pair.length for pair in data.pairs], settings.optim
        self.order = Epochs(lengths, optim.batch_size, optim.epochs, seed)
        self.steps = self.order.steps

    def prepare(self, step: int) -> StepWork:
        """The step's pairs, cut into micro-batches of like length."""
        lm, optim = self.scorer.lm, self.settings.optim
        micros = pair_micros(lm, self.pairs, self.order.at(step), optim.micro_tokens)
        return StepWork(micros, {"epoch": step / self.order.per_epoch})

    def loss(self, micro: Micro) -> tuple[Tensor, dict[str, float]]:
        """This micro-batch's part of the step's mean."""
        batch: PairBatch = micro.tensors
        preference, weights = batch.preference, batch.weights
        model = self.scorer.model
        final = branch_states(model.body, batch.rows)[batch.rows.ends()]
        first, second = model.read(final).view(-1, 2).unbind(dim=1)
        margin = first - second
        losses = bradley_terry(margin, smoothed(preference, self.settings.flips))
        losses = losses + self.settings.centring * centring(first, second)
        right = ((margin > 0) == (preference > 0.5)).float()
        metrics = {
            "reward/accuracy": float((weights * right).sum()),
            "reward/margin": float((weights * margin.detach() * (2 * preference - 1)).sum()),
        }
        return (weights * losses).sum(), metrics

    def state_dict(self) -> dict[str, Any]:
        """Nothing: order and rows follow from seed and step."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""


def score_comparisons(scorer: Scorer, comparisons: Sequence[Comparison]) -> tuple[list[float], list[float]]:
    """Scores of the first and of the second answers; each process scores its share of them."""
    rows = [
        scorer.lm.encode(row.prompt.then(*answer)).ids
        for row in comparisons
        for answer in (row.first, row.second)
    ]
    scores = spread_over(rows, len, scorer.score)
    return scores[::2], scores[1::2]
