"""How often a policy's answers beat those it wrote before it learnt anything, to prompts set aside."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from gnomon.errors import DataError
from gnomon.stats.win_rate import length_adjusted_win_rate
from gnomon.training.samples import Rollouts


class FirstAnswers:
    """Scores by the second reward model and lengths of the first evaluation point's samples; those of later
    points are held against them, each against the one with its prompt and seed."""

    def __init__(self) -> None:
        self.scores: list[float] = []
        self.lengths: list[int] = []

    def beaten(self, rollouts: Rollouts) -> dict[str, float]:
        """The win rate, ties half, raw and at equal length, where a second reward model judged the samples.

        The first that come are remembered, and tie with themselves.
        """
        if rollouts.second is None:
            return {}
        lengths = [len(sample.response_ids) for sample in rollouts.samples]
        if not self.scores:
            self.scores, self.lengths = list(rollouts.second), lengths
        wins = [_wins(own, first) for own, first in zip(rollouts.second, self.scores, strict=True)]
        longer = [own - first for own, first in zip(lengths, self.lengths, strict=True)]
        return {"win_rate/start": fmean(wins)} | _adjusted(wins, longer)

    def state_dict(self) -> dict[str, Any]:
        """The scores and lengths."""
        return {"scores": self.scores, "lengths": self.lengths}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state_dict` was written."""
        self.scores, self.lengths = list(state["scores"]), list(state["lengths"])


def _wins(own: float, first: float) -> float:
    return 0.5 if own == first else float(own > first)


def _adjusted(wins: Sequence[float], longer: Sequence[int]) -> dict[str, float]:
    """The win rate at equal length: the raw one where lengths are equal, none where length tells all wins."""
    if len(set(longer)) == 1 and longer[0] == 0:
        return {"length_adjusted/start": fmean(wins)}
    try:
        return {"length_adjusted/start": length_adjusted_win_rate(wins, longer).value}
    except DataError:
        return {}
