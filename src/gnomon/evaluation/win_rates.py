"""How often one model's answers win against another's, by each judge, with intervals."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from gnomon.errors import DataError
from gnomon.evaluation.agreement import Agreement
from gnomon.evaluation.judging import IDENTICAL, outcomes
from gnomon.evaluation.told import Told
from gnomon.judges.judgement import Abstention, Judgement, PairwiseJudge, Said, answer_text
from gnomon.records import Comparison
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.prediction_powered import prediction_powered_mean
from gnomon.stats.prevalence import Count, prevalence
from gnomon.stats.proportion import wilson_clustered
from gnomon.stats.win_rate import length_adjusted_win_rate

Figures = dict[str, Any]


def win_rate_figures(
    judge: PairwiseJudge,
    pairs: Sequence[Comparison],
    said: Sequence[Said],
    clusters: Sequence[str],
    agreement: Agreement | None = None,
) -> Figures:
    """The first answers' win rate by one judge: raw, at equal length, and corrected for the judge's errors.

    `win_rate` counts ties half; `length_adjusted` is read at equal length in characters; `flips` is the share
    of judgements that another order turns, for judges that see one; `corrected` is Rogan and Gladen's, where
    an `agreement` with known answers tells how the judge errs. `judged` and `abstained` count pairs.
    """
    worth = outcomes(judge, said)
    places = [i for i, value in enumerate(worth) if value is not None]
    values = [float(worth[i] or 0) for i in places]
    own = [clusters[i] for i in places]
    differences = [length_difference(pairs[i]) for i in places]
    told = Told()
    told.add("win_rate", lambda: _raw(values, own))
    if values:
        told.add("length_adjusted", lambda: length_adjusted_win_rate(values, differences, own))
    asked = [
        (float(one.flips), cluster)
        for one, cluster in zip(said, clusters, strict=True)
        if judge.ordered and isinstance(one, Judgement) and one.criterion != IDENTICAL
    ]
    if asked:
        told.add("flips", lambda: wilson_clustered([f for f, _ in asked], [c for _, c in asked]))
    if values and agreement is not None:
        told.add("corrected", lambda: corrected(values, own, agreement))
    return {
        "judged": len(places),
        "abstained": dict(Counter(one.reason for one in said if isinstance(one, Abstention))),
        "ties": sum(value == 0.5 for value in values),
        **told.to_json(),
    }


def length_difference(pair: Comparison) -> float:
    """Characters of the first answer less those of the second."""
    return float(len(answer_text(pair.first)) - len(answer_text(pair.second)))


def _raw(worth: Sequence[float], clusters: Sequence[str]) -> Estimate:
    if not worth:
        raise DataError("win rate: the judge abstained on every pair")
    return wilson_clustered(worth, clusters)


def corrected(worth: Sequence[float], clusters: Sequence[str], agreement: Agreement) -> Estimate:
    """The win rate rid of the errors a judge makes on known answers, by Rogan and Gladen.

    Clusters are what is counted, as the interval is of independent rows. DataError where the judge was not
    measured both on pairs whose first answer is the better and on others, or tells them apart no better
    than chance.
    """
    if not worth or agreement.sensitivity is None or agreement.specificity is None:
        raise DataError("corrected: the judge was measured on too few known answers; give more")
    flagged = Count(fmean(worth) * len(set(clusters)), len(set(clusters)))
    return prevalence(flagged, agreement.sensitivity, agreement.specificity)


def anchored(
    people: Sequence[float | None], judge: Sequence[float | None], clusters: Sequence[str]
) -> Estimate:
    """The win rate people would give on all prompts, from their votes on some and a judge's on all.

    Prediction-powered: unbiased whatever the judge, where the prompts voted on were drawn like the others.
    Prompts on which the judge abstains are left out. DataError for votes on too few, or on all of them.
    """
    rows = [row for row in zip(people, judge, clusters, strict=True) if row[1] is not None]
    voted = [(p, j, c) for p, j, c in rows if p is not None and j is not None]
    rest = [(j, c) for p, j, c in rows if p is None and j is not None]
    if not voted or not rest:
        raise DataError(
            "with people: there must be votes on some of the prompts the judge decides, and not on all"
        )
    gold, predictions, own = zip(*voted, strict=True)
    others, theirs = zip(*rest, strict=True)
    found = prediction_powered_mean(gold, predictions, others, (own, theirs))
    return Estimate(found.value, max(found.low, 0.0), min(found.high, 1.0), found.n)
