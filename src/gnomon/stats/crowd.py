"""A simulated crowd with planted habits, to hold estimates against what is true.

The n-th vote of an annotator depends on the seed, the annotator and n alone: a crowd that works through a
server votes as it does in an array, whoever comes first.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtri

from gnomon.errors import DataError
from gnomon.stats.ordinal import cuts, gaps_of, outcome_chances
from gnomon.stats.units import Floats, Positions


@dataclass(frozen=True, slots=True)
class Habits:
    """The population that a crowd is drawn from, means and standard deviations in the units of the model.

    `fatigue` is the mean (exponential) share of reliability lost per hundred votes; `spam` the share who do
    not read: a third each vote at random, for what stands first, and for a tie. `seconds` is the median
    time of a vote, which spammers take a tenth of.
    """

    reliability: tuple[float, float] = (2.0, 0.6)
    position: tuple[float, float] = (0.2, 0.3)
    length: tuple[float, float] = (0.0, 0.3)
    log_threshold: tuple[float, float] = (-0.7, 0.4)
    sycophancy: tuple[float, float] = (0.0, 0.0)
    fatigue: float = 0.0
    spam: float = 0.0
    seconds: float = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """What each annotator is planted with: `traits` [crowd, 4] as `TRAITS`, the others [crowd]."""

    traits: Floats
    sycophancy: Floats
    fatigue: Floats
    seconds: Floats
    spam: Positions
    seed: int

    @property
    def size(self) -> int:
        """How many annotators there are."""
        return len(self.traits)


class Shown(NamedTuple):
    """What an annotator sees of each vote's pair, [votes] each.

    `differences` in quality, first answer less second; `sides` and `lengths` as the model of annotators has
    them; `beliefs` is 1 where the user says to believe what the first answer says, -1 the second, else 0.
    """

    differences: Floats
    sides: Floats
    lengths: Floats
    beliefs: Floats


class Cast(NamedTuple):
    """Outcomes and seconds of votes, [votes] each."""

    outcomes: Positions
    seconds: Floats


class Assigned(NamedTuple):
    """Who votes on what as their how-manieth, from 0; [votes] each."""

    pairs: Positions
    annotators: Positions
    indices: Positions


Words = npt.NDArray[np.uint64]

SPAM = ("random", "first", "tie")
"""What spammers vote: at random, for what stands first, for a tie; the k-th spammer is of kind k modulo 3."""
_SPAM = np.array([[0.0, 0.0, 0.0, -0.7], [0.0, 5.0, 0.0, -3.0], [0.0, 0.0, 0.0, 2.0]])
"""Their traits."""
_STREAMS = 2
"""Draws of one vote: its outcome and its seconds."""
_FEWEST_FLIPS = 0.02
"""Below it an annotator would have to tell differences that nobody can."""
_DIFFERENCES = ndtri((np.arange(2000) + 0.5) / 2000)
"""Standard normal differences, evenly likely."""


def hire(size: int, habits: Habits, seed: int) -> Crowd:
    """So many annotators, drawn from a population; of a share of spam s, round(s * size) are spammers."""
    if size < 1 or not 0 <= habits.spam <= 1:
        raise DataError(f"crowd: {size} annotators of whom {habits.spam:.0%} spam; neither can be")
    random = np.random.default_rng(seed)
    drawn = (habits.reliability, habits.position, habits.length, habits.log_threshold)
    traits = np.column_stack([random.normal(*own, size) for own in drawn])
    sycophancy, fatigue = random.normal(*habits.sycophancy, size), random.exponential(habits.fatigue, size)
    spam = np.zeros(size, dtype=np.int64)
    spam[random.permutation(size)[: round(habits.spam * size)]] = 1
    own = np.flatnonzero(spam)
    traits[own] = _SPAM[np.arange(own.size) % len(_SPAM)]
    honest = 1.0 - spam
    seconds = habits.seconds * np.where(spam, 0.1, 1.0)
    return Crowd(traits, sycophancy * honest, fatigue * honest, seconds, spam, seed)


def reliability_of_flips(flips: float, habits: Habits) -> float:
    """The reliability at which a share `flips` of decided votes is for the worse answer.

    For standard normal differences, the mean position offset and the mean threshold of `habits`. DataError
    outside of [0.02, 0.5], where 0.5 is reliability 0.
    """
    if not _FEWEST_FLIPS <= flips <= 0.5:
        raise DataError(f"crowd: {flips} of votes flipped; give a share from {_FEWEST_FLIPS} to 0.5")
    threshold = np.full(_DIFFERENCES.shape, np.exp(habits.log_threshold[0]))
    scale = cuts(3, np.zeros(gaps_of(3)))

    def beyond(reliability: float) -> float:
        eta = reliability * _DIFFERENCES + habits.position[0]
        second, _, first = outcome_chances(eta, threshold, scale).T
        worse = np.where(_DIFFERENCES > 0, second, first)
        return float(worse.sum() / (first + second).sum()) - flips

    return 0.0 if flips == 0.5 else float(brentq(beyond, 0.0, 1000.0))


def assign(pairs: int, crowd: int, overlap: int, seed: int) -> Assigned:
    """Each pair to `overlap` annotators drawn for it, in an order drawn for each annotator's own work.

    DataError where a pair would need more annotators than there are.
    """
    if overlap > crowd:
        raise DataError(f"crowd: {overlap} votes on each pair, but only {crowd} annotators")
    random = np.random.default_rng(seed)
    annotators = np.argsort(random.random((pairs, crowd)), axis=1)[:, :overlap].ravel()
    where = np.repeat(np.arange(pairs), overlap)
    order = random.permutation(len(where))
    where, annotators = where[order], annotators[order]
    by_annotator = np.argsort(annotators, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(annotators, minlength=crowd))[:-1]])
    indices = np.empty(len(where), dtype=np.int64)
    indices[by_annotator] = np.arange(len(where)) - starts[annotators[by_annotator]]
    return Assigned(where, annotators, indices)


def chances(crowd: Crowd, annotators: Positions, indices: Positions, shown: Shown, kinds: int = 3) -> Floats:
    """The chance of each outcome of each vote, [votes, kinds]: what `vote` draws from."""
    traits = crowd.traits[annotators]
    awake = np.maximum(1 - crowd.fatigue[annotators], 0.0) ** (np.asarray(indices) / 100)
    eta = traits[:, 0] * awake * shown.differences + traits[:, 1] * shown.sides
    eta = eta + traits[:, 2] * shown.lengths + crowd.sycophancy[annotators] * shown.beliefs
    return outcome_chances(eta, np.exp(traits[:, 3]), cuts(kinds, np.zeros(gaps_of(kinds))))


def vote(crowd: Crowd, annotators: Positions, indices: Positions, shown: Shown, kinds: int = 3) -> Cast:
    """What annotators say at their so-manieth votes, and how long they take.

    Seconds are lognormal, and shorten as reliability tires.
    """
    drawn = _uniforms(crowd.seed, annotators, indices)
    reached = np.cumsum(chances(crowd, annotators, indices, shown, kinds), axis=1)[:, :-1]
    outcomes = (drawn[:, :1] > reached).sum(axis=1)
    awake = np.maximum(1 - crowd.fatigue[annotators], 0.01) ** (np.asarray(indices) / 100)
    return Cast(outcomes, crowd.seconds[annotators] * awake * np.exp(0.5 * ndtri(drawn[:, 1])))


def _uniforms(seed: int, annotators: Positions, indices: Positions) -> Floats:
    """Numbers in (0, 1), [votes, _STREAMS], of a seed, an annotator and an index (SplitMix64's finaliser)."""
    state = _mixed(np.full(len(annotators), seed, dtype=np.uint64))
    for part in (np.asarray(annotators), np.asarray(indices)):
        state = _mixed(state + part.astype(np.uint64))
    streams = [_mixed(state + np.uint64(k + 1)) for k in range(_STREAMS)]
    whole = (np.column_stack(streams) >> np.uint64(11)).astype(np.float64)
    return whole * 2.0**-53 + 2.0**-54


def _mixed(x: Words) -> Words:
    """64 bits of which each depends on all that came in."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Words = x ^ (x >> np.uint64(31))
    return mixed
