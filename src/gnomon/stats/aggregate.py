"""One label from many: majority, and Dawid and Skene's model of who confuses what."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.special import logsumexp

from gnomon.stats.coincidence import tally
from gnomon.stats.units import Floats, Positions

UNDECIDED = -1
"""The label of a unit without votes, or whose first places tie."""


class Majority(NamedTuple):
    """`labels` [units], UNDECIDED where first places tie; `shares` [units, kinds] of each unit's votes."""

    labels: Positions
    shares: Floats

    @property
    def tied(self) -> npt.NDArray[np.bool_]:
        """Whether each unit is left undecided, [units]."""
        return np.equal(self.labels, UNDECIDED)


@dataclass(frozen=True, slots=True, eq=False)
class DawidSkene:
    """What EM found.

    `chances` [units, kinds], of each unit's true kind; `prior` [kinds]; `confusion` [annotators, true kind,
    kind said]; `log_posterior`, of the votes and the smoothing, after each step.
    """

    chances: Floats
    prior: Floats
    confusion: Floats
    log_posterior: tuple[float, ...]

    @property
    def accuracies(self) -> Floats:
        """The chance that each annotator names the true kind, over kinds as they occur, [annotators]."""
        right: Floats = np.diagonal(self.confusion, axis1=1, axis2=2) @ self.prior
        return right


def majority(units: Positions, labels: Positions, kinds: int) -> Majority:
    """The most frequent label of each unit, from one row per label; ties are said, not broken.

    A unit without votes has shares of 1 / kinds. DataError as in `tally`.
    """
    counts = tally(units, labels, kinds)
    size = counts.sum(axis=1, keepdims=True)
    shares = np.where(size > 0, counts, 1.0) / np.where(size > 0, size, kinds)
    first = counts == counts.max(axis=1, keepdims=True)
    return Majority(np.where(first.sum(axis=1) == 1, counts.argmax(axis=1), UNDECIDED), shares)


def dawid_skene(
    units: Positions,
    annotators: Positions,
    labels: Positions,
    kinds: int,
    smoothing: float = 0.1,
    steps: int = 200,
    tolerance: float = 1e-7,
) -> DawidSkene:
    """Dawid and Skene's (1979) confusion matrix of each annotator, and the chances of each unit's true kind.

    One row per vote, [votes] each. EM from the shares of votes, where `smoothing` pseudo-votes in every cell
    (and of every kind) keep rare annotators from certainty; it stops when the log posterior gains less than
    `tolerance` per vote. DataError as in `tally`.
    """
    counts = tally(units, labels, kinds)
    crowd = int(np.max(annotators)) + 1
    said = np.asarray(annotators) * kinds + np.asarray(labels)
    votes = csr_array((np.ones(len(said)), (np.asarray(units), said)), shape=(len(counts), crowd * kinds))
    size = counts.sum(axis=1, keepdims=True)
    chances = (counts + smoothing) / (size + kinds * smoothing)
    found: list[float] = []
    while True:
        prior = chances.sum(axis=0) + smoothing
        prior /= prior.sum()
        confusion = (votes.T @ chances).reshape(crowd, kinds, kinds).transpose(0, 2, 1) + smoothing
        confusion /= confusion.sum(axis=2, keepdims=True)
        spoken = np.log(confusion).transpose(0, 2, 1).reshape(crowd * kinds, kinds)
        joint = votes @ spoken + np.log(prior)
        evidence = logsumexp(joint, axis=1, keepdims=True)
        chances = np.exp(joint - evidence)
        held = smoothing * float(np.log(confusion).sum() + np.log(prior).sum())
        found.append(float(evidence.sum()) + held)
        settled = len(found) > 1 and found[-1] - found[-2] < tolerance * len(said)
        if settled or len(found) >= steps:
            return DawidSkene(chances, prior, confusion, tuple(found))
