"""How often one model's answers win against another's, by each judge, with intervals."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

from gnomon.errors import DataError
from gnomon.evaluation.agreement import Agreement, as_count
from gnomon.evaluation.judging import is_alike, outcomes
from gnomon.evaluation.told import Told
from gnomon.judges.judgement import Abstention, Judgement, PairwiseJudge, Said, answer_text
from gnomon.records import Comparison
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.prediction_powered import prediction_powered_mean
from gnomon.stats.prevalence import prevalence
from gnomon.stats.proportion import wilson_clustered
from gnomon.stats.win_rate import length_adjusted_win_rate

Figures = dict[str, Any]


class _Row(NamedTuple):
    """What a pair is worth to its first answer by one judge; `length` is in characters, as below."""

    worth: float
    cluster: str
    length: float
    alike: bool


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

    Equal answers tie for a judge that abstains on others, too: its rates are those of pairs that differ,
    `with_ties`. So is `corrected`, as no judge errs on a tie that it is not asked about.
    """
    worth, alike = outcomes(judge, said), [is_alike(one) for one in said]
    rows = [
        _Row(value, cluster, length_difference(pair), same)
        for value, cluster, pair, same in zip(worth, clusters, pairs, alike, strict=True)
        if value is not None
    ]
    apart = [row for row in rows if not row.alike]
    counted, ties = (rows, 0.0) if len(rows) == len(said) else (apart, fmean(alike))
    told = Told()
    told.add("win_rate", lambda: with_ties(_raw(counted), ties))
    if counted:
        told.add("length_adjusted", lambda: with_ties(_at_equal_length(counted), ties))
    asked = [
        (float(one.flips), cluster)
        for one, cluster in zip(said, clusters, strict=True)
        if judge.ordered and isinstance(one, Judgement) and not is_alike(one)
    ]
    if asked:
        told.add("flips", lambda: wilson_clustered([f for f, _ in asked], [c for _, c in asked]))
    if apart and agreement is not None:
        doubted = [row.worth for row in apart], [row.cluster for row in apart]
        told.add("corrected", lambda: with_ties(corrected(*doubted, agreement), fmean(alike)))
    return {
        "judged": len(rows),
        "abstained": dict(Counter(one.reason for one in said if isinstance(one, Abstention))),
        "ties": worth.count(0.5),
        **told.to_json(),
    }


def with_ties(rate: Estimate, share: float) -> Estimate:
    """The rate of all pairs, from that of those that differ: a share, taken as it is, are equal answers."""
    value, low, high = (share / 2 + (1 - share) * x for x in (rate.value, rate.low, rate.high))
    return Estimate(value, low, high, rate.n)


def length_difference(pair: Comparison) -> float:
    """Characters of the first answer less those of the second."""
    return float(len(answer_text(pair.first)) - len(answer_text(pair.second)))


def _raw(rows: Sequence[_Row]) -> Estimate:
    if not rows:
        raise DataError("win rate: the judge abstained on every pair")
    return wilson_clustered([row.worth for row in rows], [row.cluster for row in rows])


def _at_equal_length(rows: Sequence[_Row]) -> Estimate:
    worth, clusters, lengths, _ = zip(*rows, strict=True)
    return length_adjusted_win_rate(worth, lengths, clusters)


def corrected(worth: Sequence[float], clusters: Sequence[str], agreement: Agreement) -> Estimate:
    """The win rate rid of the errors a judge makes on known answers, by Rogan and Gladen.

    As many rows are counted as their clusters are worth, as the interval is of independent ones. DataError
    where the judge was not measured both on pairs whose first answer is the better and on others, or tells
    them apart no better than chance.
    """
    flagged = as_count(worth, clusters)
    if flagged is None or agreement.sensitivity is None or agreement.specificity is None:
        raise DataError("corrected: the judge was measured on too few known answers; give more")
    found = prevalence(flagged, agreement.sensitivity, agreement.specificity)
    return Estimate(found.value, found.low, found.high, len(worth))


def anchored(
    people: Sequence[float | None],
    judge: Sequence[float | None],
    clusters: Sequence[str],
    alike: Sequence[bool],
) -> Estimate:
    """The win rate people would give on all prompts, from their votes on some and a judge's on all.

    Prediction-powered: unbiased whatever the judge, where the prompts voted on were drawn like the others.
    Prompts whose answers are `alike` are ties that nobody was asked about: the estimate is of the others,
    `with_ties`. Prompts on which the judge abstains are left out. Votes that all say the same have Wilson's
    interval. DataError for votes on too few, or on all of them.
    """
    asked = zip(people, judge, clusters, alike, strict=True)
    rows = [(p, j, c) for p, j, c, same in asked if j is not None and not same]
    voted = [(p, j, c) for p, j, c in rows if p is not None and j is not None]
    rest = [(j, c) for p, j, c in rows if p is None and j is not None]
    if not voted or not rest:
        raise DataError(
            "with people: there must be votes on some of the prompts the judge decides, and not on all"
        )
    gold, predictions, own = zip(*voted, strict=True)
    others, theirs = zip(*rest, strict=True)
    found = prediction_powered_mean(gold, predictions, others, (own, theirs))
    if len(set(gold)) == 1:
        found = wilson_clustered(gold, own)
    within = Estimate(found.value, max(found.low, 0.0), min(found.high, 1.0), found.n)
    return with_ties(within, fmean(alike))
