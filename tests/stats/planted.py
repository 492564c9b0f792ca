"""Votes of a simulated crowd beside the truth they were drawn from."""

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from gnomon.stats.crowd import Crowd, Habits, Shown, assign, hire, vote
from gnomon.stats.votes import Pairs, Votes


class Planted(NamedTuple):
    votes: Votes
    pairs: Pairs
    crowd: Crowd
    differences: np.ndarray


def planted(seed: int, habits: Habits, *, size: int = 20, pairs: int = 150, overlap: int = 5, kinds: int = 3):
    """Pairs of standard normal differences and lengths, shown in an order that is drawn for every vote."""
    random = np.random.default_rng([seed, 1])
    crowd = hire(size, habits, seed)
    given = assign(pairs, size, overlap, seed)
    differences, lengths = random.normal(size=(2, pairs))
    sides = random.choice([-1.0, 1.0], len(given.pairs))
    nobody = np.zeros(len(given.pairs))
    shown = Shown(differences[given.pairs], sides, lengths[given.pairs], nobody)
    cast = vote(crowd, given.annotators, given.indices, shown, kinds)
    votes = Votes.of(given.pairs, given.annotators, cast.outcomes, kinds, sides, size)
    return Planted(votes, Pairs.of(pairs, lengths=lengths), crowd, differences)


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """How often one that is has a higher score than one that is not."""
    ranks, n = rankdata(scores), int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n)))


def flipped(seed: int, *, items: int, size: int, votes: int, flips: float, spammers: str):
    """Votes on pairs of `items` with scores: half of the crowd spams, others flip a share of what is true.

    Spammers vote at random, or for what stands first. Winners first as positions: [votes] of first item,
    second item, annotator, whether the first won; and whether each annotator is honest, [size].
    """
    random = np.random.default_rng(seed)
    scores, honest = random.normal(size=items), np.arange(size) % 2 == 0
    first = random.integers(0, items, votes)
    second = (first + random.integers(1, items, votes)) % items
    annotators = random.integers(0, size, votes)
    true = (scores[first] > scores[second]) ^ (random.random(votes) < flips)
    spam = random.random(votes) < 0.5 if spammers == "random" else np.ones(votes, dtype=bool)
    return first, second, annotators, np.where(honest[annotators], true, spam), honest
