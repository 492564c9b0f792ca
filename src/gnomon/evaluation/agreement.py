"""How far a judge agrees with labels that are known: the calibration that its verdicts are read by."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np

from gnomon.data.splits import named_clusters, opening
from gnomon.errors import DataError
from gnomon.evaluation.judging import outcomes
from gnomon.evaluation.told import Told
from gnomon.judges.judgement import Abstention, Judgement, PairwiseJudge, Said
from gnomon.records import Comparison
from gnomon.stats.agreement import cohen_kappa
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.calibration import calibration_interval
from gnomon.stats.prevalence import Count
from gnomon.stats.proportion import wilson_clustered
from gnomon.stats.units import worth_of


@dataclass(frozen=True)
class Agreement:
    """The figures, as plain JSON values, and the counts that a correction needs, see `as_count`."""

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


def clusters_of(pairs: Sequence[Comparison]) -> list[str]:
    """The cluster of near-duplicate prompts that each pair is of."""
    return named_clusters([pair.id for pair in pairs], [opening(pair.prompt) for pair in pairs])


def agreement(
    judge: PairwiseJudge, pairs: Sequence[Comparison], said: Sequence[Said], clusters: Sequence[str]
) -> Agreement:
    """A judge's agreement with the labels of `known_pairs`.

    `accuracy` counts a tie of the judge half right; `sensitivity` is that on pairs whose first answer is the
    better, `specificity` on the others; in `kappa` a tie of the judge is a third kind of verdict; `ece` is of
    the probabilities of both answers, for judges that state any. Pairs it abstains on are left out, counted.
    """
    told, sides = Told(), dict[bool, Count | None]()
    worth = outcomes(judge, said)
    rows = [
        (value, _first_is_better(pair), cluster)
        for value, pair, cluster in zip(worth, pairs, clusters, strict=True)
        if value is not None
    ]
    right = [(value if truth else 1 - value, cluster) for value, truth, cluster in rows]
    told.add("accuracy", lambda: _share(right))
    for side, name in ((True, "sensitivity"), (False, "specificity")):
        own = [one for one, (_, truth, _) in zip(right, rows, strict=True) if truth == side]
        told.add(name, partial(_share, own))
        sides[side] = as_count([value for value, _ in own], [cluster for _, cluster in own])
    own_clusters = [cluster for *_, cluster in rows]
    verdicts = [int(np.sign(value - 0.5)) for value, *_ in rows]
    labels = [1 if truth else -1 for _, truth, _ in rows]
    told.add("kappa", lambda: cohen_kappa(verdicts, labels, own_clusters))
    if judge.probabilistic:
        stated = [own.preference for own in said if isinstance(own, Judgement)]
        both = [*stated, *(1 - p for p in stated)]
        truths = [label == side for side in (1, -1) for label in labels]
        told.add("ece", lambda: calibration_interval(both, truths, own_clusters * 2))
    abstained = dict(Counter(own.reason for own in said if isinstance(own, Abstention)))
    figures = {"judged": len(rows), "abstained": abstained, **told.to_json()}
    return Agreement(figures, sides[True], sides[False])


def _share(rows: Sequence[tuple[float, str]]) -> Estimate:
    if not rows:
        raise DataError("agreement: the judge says nothing of any such pair")
    return wilson_clustered([value for value, _ in rows], [cluster for _, cluster in rows])


def as_count(values: Sequence[float], clusters: Sequence[str]) -> Count | None:
    """The values' sum as that of as many independent rows as their clusters are worth; None of no rows."""
    if not values:
        return None
    units = worth_of(clusters)
    return Count(fmean(values) * units, units)


def _first_is_better(pair: Comparison) -> bool:
    return pair.label is not None and pair.label.preference > 0.5
