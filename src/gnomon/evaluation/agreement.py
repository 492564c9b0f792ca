"""How far a judge agrees with labels that are known: the calibration that its verdicts are read by."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnomon.data.splits import named_clusters, opening
from gnomon.errors import DataError
from gnomon.evaluation.judging import outcomes
from gnomon.evaluation.told import Told
from gnomon.judges.judgement import Judgement, PairwiseJudge, Said
from gnomon.records import Comparison
from gnomon.stats.agreement import cohen_kappa
from gnomon.stats.calibration import calibration_interval
from gnomon.stats.prevalence import Count
from gnomon.stats.proportion import wilson_clustered


@dataclass(frozen=True)
class Agreement:
    """The figures, as plain JSON values, and the counts of clusters that a correction needs."""

    figures: dict[str, Any]
    sensitivity: Count | None
    specificity: Count | None


def known_pairs(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons whose label is no tie, the better answer first in some and second in others.

    A file that always has the better answer first is turned over in every other row. DataError where there
    are none.
    """
    decided = [row for row in comparisons if row.label is not None and not row.is_tie]
    if not decided:
        raise DataError("no pair to measure a judge on: none has a label that is not a tie")
    if len({_first_is_better(row) for row in decided}) == 2:
        return decided
    return [row.swap() if i % 2 else row for i, row in enumerate(decided)]


def agreement(judge: PairwiseJudge, pairs: Sequence[Comparison], said: Sequence[Said]) -> Agreement:
    """A judge's agreement with the labels of `known_pairs`, intervals by clusters of near-duplicate prompts.

    `accuracy` counts a tie of the judge half right; `sensitivity` is that on pairs whose first answer is the
    better, `specificity` on the others; in `kappa` a tie of the judge is a third kind of verdict; `ece` is of
    the probabilities of both answers, for judges that state any. Pairs it abstains on are left out, counted.
    """
    worth = outcomes(judge, said)
    places = [i for i, value in enumerate(worth) if value is not None]
    values = [float(worth[i] or 0) for i in places]
    truths = [_first_is_better(pairs[i]) for i in places]
    names = named_clusters([pair.id for pair in pairs], [opening(pair.prompt) for pair in pairs])
    clusters = [names[i] for i in places]
    right = [value if truth else 1 - value for value, truth in zip(values, truths, strict=True)]
    told = Told()
    told.add("accuracy", lambda: wilson_clustered(right, clusters))
    sides: dict[bool, Count | None] = {}
    for side, name in ((True, "sensitivity"), (False, "specificity")):
        own = [i for i, truth in enumerate(truths) if truth == side]
        told.add(name, lambda own=own: wilson_clustered([right[i] for i in own], [clusters[i] for i in own]))
        sides[side] = _count([right[i] for i in own], [clusters[i] for i in own])
    verdicts = [int(np.sign(value - 0.5)) for value in values]
    labels = [1 if truth else -1 for truth in truths]
    told.add("kappa", lambda: cohen_kappa(verdicts, labels, clusters))
    if judge.probabilistic:
        stated = [own.preference for own in said if isinstance(own, Judgement)]
        both = [*stated, *(1 - p for p in stated)], [*truths, *(not truth for truth in truths)]
        told.add("ece", lambda: calibration_interval(*both, clusters=clusters * 2))
    abstained = dict(Counter(own.reason for own in said if not isinstance(own, Judgement)))
    return Agreement(
        {"judged": len(places), "abstained": abstained, **told.to_json()}, sides[True], sides[False]
    )


def _count(right: Sequence[float], clusters: Sequence[str]) -> Count | None:
    units = len(set(clusters))
    return Count(float(np.mean(right)) * units, units) if units else None


def _first_is_better(pair: Comparison) -> bool:
    return pair.label is not None and pair.label.preference > 0.5
