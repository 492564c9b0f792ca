"""What steers policy optimisation from batch to batch: KL's weight, multipliers, the scale of rewards."""

import math
from collections import deque
from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

from torch import Tensor

from gnomon.losses.control import adapted_beta, raised
from gnomon.settings.policy import PolicySettings
from gnomon.training.samples import Rollouts


class Weights(NamedTuple):
    """Of one batch: what KL costs, what breaking each threshold costs, what rewards are divided by."""

    beta: float
    lambdas: tuple[float, ...]
    scale: float


class Moments:
    """The mean and deviation of all numbers so far, added up by batches (Chan et al. 1979)."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, values: Tensor) -> None:
        """Count these too."""
        own, there = len(values), values.double()
        mean = float(there.mean())
        off, total = mean - self.mean, self.count + own
        self.squares += float(((there - mean) ** 2).sum()) + off**2 * self.count * own / total
        self.mean += off * own / total
        self.count = total

    @property
    def deviation(self) -> float:
        """Their standard deviation; 1 where all are equal."""
        return math.sqrt(self.squares / self.count) if self.squares > 0 else 1.0


class Controls:
    """The weights of the next batch, and the state they follow from.

    `limits` are what rewards with a threshold are called.
    """

    def __init__(self, settings: PolicySettings, limits: Sequence[str] = ()) -> None:
        self.settings = settings
        self.names = tuple(limits)
        self.beta = settings.beta
        self.log_lambdas = [math.log(settings.multipliers.start)] * len(self.names)
        self.costs = [deque[float](maxlen=settings.multipliers.window) for _ in self.names]
        self.moments = Moments()

    def weights(self, rollouts: Rollouts) -> Weights:
        """What this batch is weighed by: multipliers have heard of its costs, beta not yet of its KL."""
        own = self.settings.multipliers
        for k, costs in enumerate(rollouts.costs):
            self.costs[k].extend(costs.tolist())
            self.log_lambdas[k] = raised(self.log_lambdas[k], fmean(self.costs[k]), lr=own.lr, most=own.most)
        if self.settings.scale_rewards:
            self.moments.add(rollouts.paid)
        lambdas = tuple(math.exp(value) for value in self.log_lambdas)
        return Weights(self.beta, lambdas, self.moments.deviation)

    def follow(self, kl: Tensor) -> None:
        """Adapt beta to the KL [samples] of a batch, where there is a target."""
        own = self.settings.kl
        if own.target is not None:
            self.beta = adapted_beta(
                self.beta, float(kl.mean()), target=own.target, samples=len(kl), horizon=own.horizon
            )

    def metrics(self, weights: Weights) -> dict[str, float]:
        """Those of the weights that can change."""
        known = {f"multiplier/{name}": value for name, value in zip(self.names, weights.lambdas, strict=True)}
        known |= {} if self.settings.kl.target is None else {"kl/beta": weights.beta}
        return known | ({"reward/scale": weights.scale} if self.settings.scale_rewards else {})

    def state_dict(self) -> dict[str, Any]:
        """What must survive an interruption."""
        moments = [self.moments.count, self.moments.mean, self.moments.squares]
        costs = [list(window) for window in self.costs]
        return {"beta": self.beta, "log_lambdas": self.log_lambdas, "costs": costs, "moments": moments}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state_dict` was written."""
        self.beta, self.log_lambdas = float(state["beta"]), [float(value) for value in state["log_lambdas"]]
        for window, costs in zip(self.costs, state["costs"], strict=True):
            window.extend(_numbers(costs))
        self.moments.count = int(state["moments"][0])
        self.moments.mean, self.moments.squares = _numbers(state["moments"][1:])


def _numbers(values: Sequence[Any]) -> list[float]:
    return [float(value) for value in values]
