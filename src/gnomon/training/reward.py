"""Reward modelling: the answers to a prompt after one another, and scores that say which is the better."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnomon.config import RewardSettings
from gnomon.data.collate import Epochs
from gnomon.distributed import spread_over
from gnomon.losses.reward import bradley_terry, centring, less_lead, mean_variance, plackett_luce, smoothed
from gnomon.models.branches import branch_states
from gnomon.models.reward_model import Outputs, Score, Scorer
from gnomon.records import Comparison
from gnomon.settings.base import AdamSettings, OptimSettings
from gnomon.training.objective import Figures, Micro, StepWork
from gnomon.training.pairs import EncodedPairs
from gnomon.training.units import Units, unit_micros, units_of


class RewardModelling:
    """Mean over the step's pairs and over the members of the loss that settings choose, plus centring.

    A pair counts by its weight over the mean weight of all pairs, not of the step's, so that over an epoch
    each has the share of the loss that it has of the weight.
    """

    def __init__(self, scorer: Scorer, data: EncodedPairs, settings: RewardSettings, seed: int) -> None:
        self.scorer, self.settings = scorer, settings
        self.units = units_of(data.pairs, settings.batching)
        members = sum(model.heads for model in scorer.models)
        self.draws = member_weights(len(self.units), members, seed).to(scorer.lm.device)
        lengths, optim = [unit.length for unit in self.units], settings.optim
        self.order = Epochs(lengths, optim.batch_size, optim.epochs, seed)
        self.steps = self.order.steps

    def prepare(self, step: int) -> StepWork:
        """The step's units, cut into micro-batches of like length, for each body."""
        lm, optim, bodies = self.scorer.lm, self.settings.optim, len(self.scorer.models)
        micros = unit_micros(lm, self.units, self.order.at(step), optim.micro_tokens, bodies)
        return StepWork(micros, {"epoch": step / self.order.per_epoch})

    def loss(self, micro: Micro) -> tuple[Tensor, Figures]:
        """This micro-batch's part of the step's mean."""
        batch: Units = micro.tensors
        models = self.scorer.models
        model = models[batch.body]
        said = model.outputs(branch_states(model.body, batch.rows)[batch.rows.ends()])
        draws = self._draws(batch.body)
        first, second = said.means[batch.first], said.means[batch.second]
        losses = torch.where(batch.alone[:, None], self._of_pairs(said, batch), 0.0)
        losses = losses + self.settings.centring * centring(first, second)
        total = (batch.share[:, None] * draws[batch.unit] * losses).sum()
        if batch.orders is not None:
            total = total + self._of_orders(said, batch, draws)
        margin = (first - second).detach().mean(dim=1)
        share = batch.share / len(models)
        right = (1 + margin.sign() * (2 * batch.preference - 1).sign()) / 2
        metrics = {
            "reward/accuracy": (share * right).sum(),
            "reward/margin": (share * margin * (2 * batch.preference - 1)).sum(),
        }
        return batch.weight * total / self.draws.shape[1], metrics

    def state_dict(self) -> dict[str, Any]:
        """Nothing: order, rows and draws follow from seed and step."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""

    def _draws(self, body: int) -> Tensor:
        """What each unit weighs for each head of a body, [units, heads]."""
        counts = [model.heads for model in self.scorer.models]
        return self.draws[:, sum(counts[:body]) : sum(counts[: body + 1])]

    def _of_pairs(self, said: Outputs, batch: Units) -> Tensor:
        """What each pair costs each head, [pairs, heads]."""
        margin = said.means[batch.first] - said.means[batch.second]
        preference = batch.preference[:, None].expand_as(margin)
        lead = (self.settings.margin * batch.strength)[:, None].expand_as(margin)
        margin = less_lead(margin, preference, lead)
        wanted = smoothed(batch.preference, self.settings.flips)[:, None].expand_as(margin)
        if said.variances is None:
            return bradley_terry(margin, wanted)
        return mean_variance(margin, said.variances[batch.first] + said.variances[batch.second], wanted)

    def _of_orders(self, said: Outputs, batch: Units, draws: Tensor) -> Tensor:
        """What all rankings cost all heads, by their shares."""
        orders = batch.orders
        assert orders is not None
        costs = [
            plackett_luce(scores[orders.places], orders.ranks, orders.present)
            for scores in said.means.unbind(dim=1)
        ]
        return (orders.share[:, None] * draws[orders.unit] * torch.stack(costs, dim=1)).sum()


def member_weights(units: int, members: int, seed: int) -> Tensor:
    """What each unit weighs for each member of an ensemble, [units, members]: 1 for one alone.

    The Bayesian bootstrap (Rubin 1981): exponential draws of mean 1, as if each member had met other rows.
    Heads start at zero, so nothing else sets those on one body apart.
    """
    if members == 1:
        return torch.ones(units, 1)
    drawn = [np.random.default_rng([seed, member]).exponential(size=units) for member in range(members)]
    return torch.tensor(np.stack(drawn, axis=1), dtype=torch.float32)


def own_clips(optim: OptimSettings, bodies: int) -> tuple[OptimSettings, Mapping[str, AdamSettings]]:
    """Settings of the first of several bodies, and of the others by how the names of their weights begin.

    Each is clipped for itself, as if it were trained alone: its gradient is its part of one mean, and so is
    its clip.
    """
    own = optim.model_copy(update={"max_grad_norm": optim.max_grad_norm / bodies})
    return own, {f"{body}.": own for body in range(1, bodies)}


def score_comparisons(scorer: Scorer, comparisons: Sequence[Comparison]) -> tuple[list[Score], list[Score]]:
    """Scores of the first and of the second answers; each process scores its share of them."""
    rows = [
        scorer.lm.encode(row.prompt.then(*answer)).ids
        for row in comparisons
        for answer in (row.first, row.second)
    ]
    scores = spread_over(rows, len, scorer.scores)
    return scores[::2], scores[1::2]
