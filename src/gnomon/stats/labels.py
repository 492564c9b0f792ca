"""Labels that train, from votes that disagree: by majority, by Dawid and Skene, by the model of annotators.

Whatever the way, a label is the chance that a pair's first answer is the better one, and its weight says how
much those who were asked could tell.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from scipy.special import xlogy

from gnomon.errors import DataError
from gnomon.stats.aggregate import dawid_skene, majority
from gnomon.stats.annotators import fit_annotators
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.clustered import mean_clustered
from gnomon.stats.coincidence import raw_agreement, tally
from gnomon.stats.consistency import flips_of_agreement
from gnomon.stats.units import Floats, Positions
from gnomon.stats.votes import Pairs, Votes

_MOST = 1 - 1e-9
"""What a vote tells at most, so that its logarithm is a number."""


class Labels(NamedTuple):
    """What votes come to.

    `preferences` [pairs]: the chance that the first answer is the better one. `weights` [pairs], 0 to 1: how
    much those who voted could tell. `telling` [crowd], 0 to 1: how much of which answer is better a vote of
    each annotator tells. `flips`: the share of votes for one of both answers that are for the worse, with its
    95 % interval; None where the votes cannot tell.
    """

    preferences: Floats
    weights: Floats
    telling: Floats
    flips: Estimate | None

    def against(self, votes: Votes) -> Floats:
        """The chance that each vote is for the worse answer, [votes]; NaN for ties."""
        first, side = self.preferences[votes.pairs], sides_taken(votes)
        return np.where(side > 0, 1 - first, np.where(side < 0, first, np.nan))


Aggregate = Callable[[Votes, Pairs], Labels]


def sides_taken(votes: Votes) -> Positions:
    """1 for the first answer however strongly, -1 for the second, 0 for a tie, [votes]."""
    taken: Positions = np.sign(2 * votes.outcomes - (votes.kinds - 1)).astype(np.int64)
    return taken


def by_majority(votes: Votes, pairs: Pairs) -> Labels:
    """1, 0.5 or 0 as the first answer, a tie or the second has most votes; 0.5 where two have as many.

    Everybody is believed alike, so all weights are 1. Flips are those that explain how far the votes on one
    pair agree (`flips_of_agreement`); None where nobody judged a pair after somebody else. DataError for
    pairs without votes.
    """
    _all_judged(votes, pairs)
    side = sides_taken(votes)
    found = majority(votes.pairs, side + 1, 3)
    preferences = np.where(found.tied, 0.5, found.labels / 2)
    decided = side != 0
    flips = _behind_agreement(votes.pairs[decided], (side[decided] + 1) // 2) if decided.any() else None
    return Labels(preferences, np.ones(pairs.count), np.ones(votes.crowd), flips)


def by_dawid_skene(votes: Votes, pairs: Pairs) -> Labels:
    """The chance that the first answer is what Dawid and Skene's (1979) model finds, a tie counting half.

    A vote tells the information that what is said has of what is true, as a share of all that could be told.
    Strength is not looked at. DataError for pairs without votes, and where no pair has votes of two people.
    """
    _all_judged(votes, pairs)
    _tied_together(votes)
    found = dawid_skene(votes.pairs, votes.annotators, sides_taken(votes) + 1, 3)
    preferences = found.chances @ np.array([0.0, 0.5, 1.0])
    telling = np.zeros(votes.crowd)
    telling[: len(found.confusion)] = _shared_information(found.prior, found.confusion)
    return _posterior(votes, pairs, preferences, telling)


def by_annotator_model(votes: Votes, pairs: Pairs) -> Labels:
    """The chance that the first answer is better under the model of annotators (`fit_annotators`).

    A vote tells `Fit.informativeness`. DataError for pairs without votes, and where neither a pair with votes
    of two people nor one whose answer is known tells whom to rely on.
    """
    _all_judged(votes, pairs)
    if not pairs.gold.any():
        _tied_together(votes)
    fit = fit_annotators(votes, pairs)
    return _posterior(votes, pairs, fit.better(), fit.informativeness())


AGGREGATES: Mapping[str, Aggregate] = MappingProxyType(
    {"majority": by_majority, "dawid_skene": by_dawid_skene, "annotator_model": by_annotator_model}
)
"""The ways by their names in settings."""


def _all_judged(votes: Votes, pairs: Pairs) -> None:
    often = np.bincount(votes.pairs, minlength=pairs.count)
    if often.size > pairs.count or not often.all():
        raise DataError(
            f"labels: votes on {np.count_nonzero(often)} pairs of {pairs.count}; give the judged ones"
        )


def _tied_together(votes: Votes) -> None:
    """Of votes that are each alone on their pair, chance is as good an explanation as any."""
    people = np.unique(np.column_stack([votes.pairs, votes.annotators]), axis=0)
    if np.bincount(people[:, 0]).max() < 2:
        raise DataError(
            "nobody judged a pair after somebody else, so nothing tells whom to rely on: take the majority "
            "(data.labels.method=majority), or have pairs judged by two people (overlap=2)"
        )


def _posterior(votes: Votes, pairs: Pairs, preferences: Floats, telling: Floats) -> Labels:
    """Labels of a model that says how likely each answer is the better one, and what votes tell."""
    silent = np.log1p(-np.minimum(telling, _MOST))[votes.annotators]
    weights = -np.expm1(np.bincount(votes.pairs, silent, pairs.count))
    labels = Labels(preferences, weights, telling, None)
    wrong = labels.against(votes)
    decided = ~np.isnan(wrong)
    where = votes.pairs[decided]
    if np.unique(where).size < 2:
        return labels
    found = mean_clustered(wrong[decided], where.tolist())
    bounded = Estimate(found.value, max(found.low, 0.0), min(found.high, 1.0), found.n)
    return labels._replace(flips=bounded)


def _behind_agreement(pairs: Positions, sides: Positions) -> Estimate | None:
    """The flips behind the agreement of votes for one of both answers, its interval the agreement's."""
    counts = tally(pairs, sides, 2)
    if counts.sum(axis=1).max() < 2:
        return None
    found = raw_agreement(counts)
    value, high, low = (
        flips_of_agreement(min(max(x, 0.5), 1.0)) for x in (found.value, found.low, found.high)
    )
    return Estimate(value, low, high, found.n)


def _shared_information(prior: Floats, confusion: Floats) -> Floats:
    """I(true; said) / H(true) of each annotator, [crowd], from 0 to 1."""
    joint = prior[:, None] * confusion
    said = joint.sum(axis=1)
    shared = xlogy(joint, confusion).sum(axis=(1, 2)) - xlogy(said, said).sum(axis=1)
    whole = -xlogy(prior, prior).sum()
    told: Floats = np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
    return np.clip(told, 0.0, 1.0)
