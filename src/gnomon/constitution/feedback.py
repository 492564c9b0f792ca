"""Comparisons labelled by a model, behind a gate: no label before the labeller is measured.

The gate asks two things. Accuracy: that its choices agree with known answers. Flips: that they are choices
between the answers. A labeller that tosses a coin changes its mind half the time when the answers swap
places, one that picks a place nearly always; averaged over both orders either may still be right more often
than not, by luck or by a trace too faint to train on. The default bar for flips, 40 %, is where 96
comparisons, the default number, tell a labeller from the coin: two standard errors below a half.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gnomon.config import ConstitutionSettings
from gnomon.constitution.principles import Constitution
from gnomon.errors import DataError, ModelError
from gnomon.judges.judgement import TIE, Criterion, DecisiveJudge, flip_rate
from gnomon.records import Comparison, Label
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.calibration import expected_calibration_error
from gnomon.stats.proportion import wilson


@dataclass(frozen=True, slots=True)
class GateReport:
    """How good a labeller is on known answers, and whether that is enough."""

    accuracy: Estimate
    flip_rate: float
    ece: float
    required: float
    lower_required: float
    flips_allowed: float
    passed: bool
    message: str

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self)


def criteria(constitution: Constitution, seed: int) -> Callable[[Comparison], Criterion]:
    """Gives each comparison a principle by weight, the same whenever it is asked."""

    def draw(comparison: Comparison) -> Criterion:
        principle = constitution.draw(comparison.id, seed, "comparison")
        return Criterion(principle.id, principle.text, principle.comparison)

    return draw


def measure(
    judge: DecisiveJudge, comparisons: Sequence[Comparison], settings: ConstitutionSettings
) -> GateReport:
    """Judge comparisons whose label is known.

    A tie of the judge counts as half right. Calibration is measured over both answers of every pair, so it
    does not matter where the better one stands. DataError for an unlabelled or tied comparison, or none.
    """
    truths = [_truth(comparison) for comparison in comparisons]
    if not truths:
        raise DataError("the gate of AI labels needs comparisons with known answers; none were given")
    judgements = judge.prefer(comparisons)
    stated = [j.preference for j in judgements]
    ties = sum(abs(p - 0.5) < TIE for p in stated)
    right = sum((p > 0.5) == truth and abs(p - 0.5) >= TIE for p, truth in zip(stated, truths, strict=True))
    accuracy, flips = wilson(right + ties // 2, len(truths)), flip_rate(judgements)
    report = GateReport(
        accuracy=accuracy,
        flip_rate=flips,
        ece=expected_calibration_error(
            stated + [1 - p for p in stated], truths + [not truth for truth in truths]
        ),
        required=settings.gate_accuracy,
        lower_required=settings.gate_lower,
        flips_allowed=settings.gate_flips,
        passed=accuracy.value >= settings.gate_accuracy
        and accuracy.low > settings.gate_lower
        and flips <= settings.gate_flips,
        message="",
    )
    return replace(report, message=_message(report))


def label(judge: DecisiveJudge, pairs: Sequence[Comparison], gate: GateReport) -> list[Comparison]:
    """The pairs with soft labels of source `ai`, the principle as reason; ModelError if the gate is shut."""
    if not gate.passed:
        raise ModelError(gate.message)
    judgements = judge.prefer(pairs)
    return [
        replace(pair, label=Label(judgement.preference, "ai", reason=judgement.criterion))
        for pair, judgement in zip(pairs, judgements, strict=True)
    ]


def _truth(comparison: Comparison) -> bool:
    if comparison.label is None or comparison.label.preference == 0.5:
        raise DataError(
            f"comparison {comparison.id} has no known better answer; measure the labeller on ones that have"
        )
    return comparison.label.preference > 0.5


def _message(gate: GateReport) -> str:
    accuracy = gate.accuracy
    figures = (
        f"the labeller is right on {accuracy.value:.1%} of {accuracy.n} comparisons with known answers "
        f"(95 % interval {accuracy.low:.1%} to {accuracy.high:.1%}; required: {gate.required:.0%} or more, "
        f"and a lower bound above {gate.lower_required:.0%}) and changes its mind on {gate.flip_rate:.1%} "
        f"when the answers swap places (allowed: {gate.flips_allowed:.0%} or less)"
    )
    if gate.passed:
        return f"{figures}: its labels may train"
    by_place = " It chooses by place more than by content." if gate.flip_rate > gate.flips_allowed else ""
    return (
        f"{figures}: it labels nothing.{by_place} Take a larger model as the labeller, try other principles, "
        "or collect labels from people; constitution.gate_accuracy, gate_lower and gate_flips set the bar"
    )
