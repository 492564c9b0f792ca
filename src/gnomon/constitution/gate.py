"""The gate: no label before the labeller is measured, on known answers and on the pairs it is to label.

It asks two things. Accuracy: that its choices agree with known answers. Flips: that they are choices between
the answers. A labeller that tosses a coin changes its mind half the time when the answers swap places, one
that picks a place nearly always; averaged over both orders either may still be right more often than not, by
luck or by a trace too faint to train on. The default bar for flips, 40 %, is where 96 comparisons, the
default number, tell a labeller from the coin: two standard errors below a half.
"""

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, Protocol

from gnomon.config import ConstitutionSettings
from gnomon.errors import DataError
from gnomon.judges.judgement import Abstention, Judgement, Said, answer_text, flip_rate, is_tie
from gnomon.records import Comparison
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.calibration import calibration_interval, expected_calibration_error
from gnomon.stats.proportion import wilson_clustered

Clusters = Sequence[Hashable]


class Labels(Protocol):
    """What can be measured: anything that prefers one of two answers."""

    def prefer(self, comparisons: Sequence[Comparison]) -> Sequence[Said]:
        """One judgement a comparison; its label, where it has one, is not looked at."""
        ...


@dataclass(frozen=True, slots=True)
class Measured:
    """A labeller on comparisons whose label is known, with 95 % intervals of clusters.

    `ece` and `flip_rate` are None where no interval of theirs can be told: `ece_raw` and `flips_raw` always
    are. `longer_wins` is the accuracy of always taking the longer answer, `says_first` the share of its
    choices, with the answers as they stand, for what stands first: a half where it makes none.
    """

    accuracy: Estimate
    flips_raw: float
    flip_rate: Estimate | None
    ece_raw: float
    ece: Estimate | None
    longer_wins: float
    says_first: float
    abstained: int


@dataclass(frozen=True, slots=True)
class GateReport:
    """How good a labeller is on known answers, and whether that is enough.

    `sample` is the same on labelled pairs of the very kind it is to label; None where there are none.
    """

    accuracy: Estimate
    flip_rate: float
    ece: float
    required: float
    lower_required: float
    flips_allowed: float
    passed: bool
    message: str
    known: Measured
    sample: Measured | None = None

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self)


def measured(
    said: Sequence[Said], comparisons: Sequence[Comparison], clusters: Clusters | None = None
) -> Measured:
    """What a labeller said of comparisons, against their labels.

    A tie of the labeller, or nothing said, counts as half right. Calibration is measured over both answers of
    every pair, so it does not matter where the better one stands. Without clusters every comparison is its
    own. DataError for an unlabelled or tied comparison, or none.
    """
    truths = [truth_of(comparison) for comparison in comparisons]
    if not truths:
        raise DataError("the gate of AI labels needs comparisons with known answers; none were given")
    stated = [one.preference if isinstance(one, Judgement) else 0.5 for one in said]
    right = [0.5 if is_tie(p) else float((p > 0.5) == truth) for p, truth in zip(stated, truths, strict=True)]
    outcomes = [*truths, *(not truth for truth in truths)]
    both = [*stated, *(1 - p for p in stated)]
    own: list[Hashable] = [*range(len(truths))] if clusters is None else [*clusters]
    several = len(set(own)) > 1
    judged = [(one, cluster) for one, cluster in zip(said, own, strict=True) if isinstance(one, Judgement)]
    judgements = [one for one, _ in judged]
    flips = [float(one.flips) for one in judgements]
    first = [one.first_order > 0.5 for one in judgements if not is_tie(one.first_order)]
    lengths = [len(answer_text(c.first)) - len(answer_text(c.second)) for c in comparisons]
    return Measured(
        accuracy=wilson_clustered(right, clusters),
        flips_raw=flip_rate(judgements) if judgements else 0.0,
        flip_rate=wilson_clustered(flips, [cluster for _, cluster in judged]) if flips else None,
        ece_raw=expected_calibration_error(both, outcomes),
        ece=calibration_interval(both, outcomes, [*own, *own]) if several else None,
        longer_wins=fmean(
            0.5 if more == 0 else float((more > 0) == truth)
            for more, truth in zip(lengths, truths, strict=True)
        ),
        says_first=fmean(first) if first else 0.5,
        abstained=sum(isinstance(one, Abstention) for one in said),
    )


def measure(
    judge: Labels,
    comparisons: Sequence[Comparison],
    settings: ConstitutionSettings,
    clusters: Clusters | None = None,
) -> GateReport:
    """Judge comparisons whose label is known; DataError as in `measured`."""
    for comparison in comparisons:
        truth_of(comparison)
    known = measured(judge.prefer(comparisons) if comparisons else (), comparisons, clusters)
    return _report(known, None, settings)


def with_sample(
    gate: GateReport,
    judge: Labels,
    sample: Sequence[Comparison],
    settings: ConstitutionSettings,
    clusters: Clusters | None = None,
) -> GateReport:
    """The report with a labelled sample of the very pairs, which has to pass as well."""
    return _report(gate.known, measured(judge.prefer(sample), sample, clusters), settings)


def truth_of(comparison: Comparison) -> bool:
    """Whether the first answer is the better; DataError where that is not known."""
    if comparison.label is None or comparison.label.preference == 0.5:
        raise DataError(
            f"comparison {comparison.id} has no known better answer; measure the labeller on ones that have"
        )
    return comparison.label.preference > 0.5


def _enough(found: Measured, settings: ConstitutionSettings) -> bool:
    return (
        found.accuracy.value >= settings.gate_accuracy
        and found.accuracy.low > settings.gate_lower
        and found.flips_raw <= settings.gate_flips
    )


def _report(known: Measured, sample: Measured | None, settings: ConstitutionSettings) -> GateReport:
    report = GateReport(
        accuracy=known.accuracy,
        flip_rate=known.flips_raw,
        ece=known.ece_raw,
        required=settings.gate_accuracy,
        lower_required=settings.gate_lower,
        flips_allowed=settings.gate_flips,
        passed=_enough(known, settings) and (sample is None or _enough(sample, settings)),
        message="",
        known=known,
        sample=sample,
    )
    return replace(report, message=_message(report))


def _message(gate: GateReport) -> str:
    figures = _told(gate, gate.known, "comparisons with known answers")
    if gate.sample is None:
        figures += "; on the very pairs it labels it was not measured, as none of them has a known answer"
    else:
        figures += "; on the very pairs, " + _told(gate, gate.sample, "that are labelled")
    if gate.passed:
        return f"{figures}: its labels may train"
    parts = [part for part in (gate.known, gate.sample) if part is not None]
    flips = any(part.flips_raw > gate.flips_allowed for part in parts)
    by_place = " It chooses by place more than by content." if flips else ""
    return (
        f"{figures}: it labels nothing.{by_place} Take a larger model as the labeller, try other principles, "
        "or collect labels from people; constitution.gate_accuracy, gate_lower and gate_flips set the bar, "
        "and constitution.feedback.gate=warns goes on below it"
    )


def _told(gate: GateReport, part: Measured, of: str) -> str:
    accuracy = part.accuracy
    return (
        f"the labeller is right on {accuracy.value:.1%} of {accuracy.n} {of} "
        f"(95 % interval {accuracy.low:.1%} to {accuracy.high:.1%}; required: {gate.required:.0%} or more, "
        f"and a lower bound above {gate.lower_required:.0%}) and changes its mind on {part.flips_raw:.1%} "
        f"when the answers swap places (allowed: {gate.flips_allowed:.0%} or less)"
    )
