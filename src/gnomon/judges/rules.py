"""Judges that need neither a model nor a person: checks, and the two that every win rate stands beside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean
from typing import ClassVar

from gnomon.judges.judgement import Abstention, Judgement, Said, answer_text
from gnomon.judges.verifiable import Check, run_checks
from gnomon.records import Comparison


@dataclass(frozen=True)
class ChecksJudge:
    """The answer that passes more of its prompt's checks, which are found by the comparison's id."""

    checks: Mapping[str, Sequence[Check]]
    ordered: ClassVar[bool] = False
    probabilistic: ClassVar[bool] = False

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Said]:
        """Where a prompt has no checks, nothing is said."""
        return [self._said(comparison) for comparison in comparisons]

    def _said(self, comparison: Comparison) -> Said:
        checks = self.checks.get(comparison.id, ())
        if not checks:
            return Abstention("no checks")
        passed = [run_checks(answer_text(answer), checks) for answer in (comparison.first, comparison.second)]
        won = _sign(*map(fmean, passed))
        return Judgement.of(won, won, "checks", tuple(f"{sum(own)} of {len(own)}" for own in passed))


class LongestWins:
    """The longer answer, in characters: what a judge that only counts would say."""

    ordered: ClassVar[bool] = False
    probabilistic: ClassVar[bool] = False

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Judgement]:
        """A tie where both are as long."""
        won = [_sign(len(answer_text(c.first)), len(answer_text(c.second))) for c in comparisons]
        return [Judgement.of(w, w, "length") for w in won]


@dataclass(frozen=True)
class CoinToss:
    """A fair coin for each comparison, the same one whenever it is asked."""

    seed: int = 0
    ordered: ClassVar[bool] = False
    probabilistic: ClassVar[bool] = False

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Judgement]:
        """Heads for the first answer."""
        won = [float(Random(f"{self.seed}/coin/{c.id}").random() < 0.5) for c in comparisons]
        return [Judgement.of(w, w, "coin") for w in won]


def _sign(first: float, second: float) -> float:
    """1 where the first is more, 0 where the second is, a half where both are alike."""
    return 0.5 if first == second else float(first > second)
