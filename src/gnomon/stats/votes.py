"""Votes on pairs of answers, on a scale of strength, and what is known of the pairs: rows for the models."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.sparse import coo_array, csr_array

from gnomon.errors import DataError
from gnomon.stats.units import Floats, Positions


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """One row per vote; all arrays are [votes].

    `pairs` and `annotators` count from 0. `outcomes` lie in [0, kinds): the lowest is the strongest
    preference for the pair's second answer, the highest for its first, and of an odd number the middle is
    the tie. `sides` is 1 where the pair's first answer stood first (left, or above), -1 where it stood
    second, 0 where that is not known. `crowd` is the number of annotators, those without votes included.
    """

    pairs: Positions
    annotators: Positions
    outcomes: Positions
    sides: Floats
    kinds: int
    crowd: int

    def __post_init__(self) -> None:
        rows = {len(x) for x in (self.pairs, self.annotators, self.outcomes, self.sides)}
        if len(rows) != 1 or 0 in rows:
            raise DataError(f"votes: columns of {sorted(rows)} rows; give one value per vote in each")
        if self.kinds < 2 or self.outcomes.min() < 0 or self.outcomes.max() >= self.kinds:
            raise DataError(f"votes: outcomes lie in [0, {self.kinds}) and there are at least two kinds")
        if self.annotators.min() < 0 or self.annotators.max() >= self.crowd or self.pairs.min() < 0:
            raise DataError(f"votes: annotators lie in [0, {self.crowd}) and pairs start at 0")

    @classmethod
    def of(
        cls,
        pairs: Sequence[int] | Positions,
        annotators: Sequence[int] | Positions,
        outcomes: Sequence[int] | Positions,
        kinds: int = 3,
        sides: Sequence[float] | Floats | None = None,
        crowd: int | None = None,
    ) -> Self:
        """Votes from plain rows; without `sides` nothing is known of who stood where."""
        where, who, what = (np.asarray(x, dtype=np.int64) for x in (pairs, annotators, outcomes))
        shown = np.zeros(len(where)) if sides is None else np.asarray(sides, dtype=np.float64)
        return cls(where, who, what, shown, kinds, int(who.max(initial=-1)) + 1 if crowd is None else crowd)

    def mirrored(self) -> Self:
        """The same votes on pairs whose two answers have changed names."""
        return replace(self, outcomes=self.kinds - 1 - self.outcomes, sides=-self.sides)

    def take(self, rows: Positions) -> Self:
        """Some of the votes."""
        return replace(
            self,
            pairs=self.pairs[rows],
            annotators=self.annotators[rows],
            outcomes=self.outcomes[rows],
            sides=self.sides[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """What is known of each pair before anyone votes; differences are of the first answer less the second.

    A pair's difference in quality is `known` + `design` @ weights + `spread` z, with z standard normal:
    `known` [pairs] from a reward model, say; `design` [pairs, columns] features, or `score_design` for free
    scores of answers; `spread` [pairs] what neither explains. `lengths` [pairs] are differences of lengths,
    scaled to about 1; `gold` [pairs] is 1 where the first answer is known to be better, -1 where the
    second is, 0 where that is not known. `groups` [columns] says which weights are of one size.
    """

    known: Floats
    lengths: Floats
    gold: Floats
    spread: Floats
    design: csr_array
    groups: Positions

    @classmethod
    def of(
        cls,
        count: int,
        *,
        spread: float = 1.0,
        design: csr_array | Floats | None = None,
        known: Floats | None = None,
        lengths: Floats | None = None,
        gold: Floats | Positions | None = None,
        groups: Positions | None = None,
    ) -> Self:
        """So many pairs, 0 where nothing is said.

        `spread` 1 sets the scale of qualities; 0 says that known and design tell all, and weights then have
        a mean square of 1 where nothing is known. Weights are of one group unless said. DataError for
        lengths that differ, and for pairs of which nothing can differ.
        """
        own = csr_array((count, 0)) if design is None else csr_array(design, dtype=np.float64)
        columns = [
            np.zeros(count) if x is None else np.asarray(x, dtype=np.float64) for x in (known, lengths, gold)
        ]
        kinds = np.zeros(own.shape[1], dtype=np.int64) if groups is None else np.asarray(groups)
        sized = all(x.shape == (count,) for x in columns) and kinds.shape == (own.shape[1],)
        if own.shape[0] != count or not sized:
            raise DataError(f"pairs: {count} of them, but columns of other lengths")
        if spread <= 0 and own.shape[1] == 0 and known is None:
            raise DataError("pairs: without spread, design or known differences nothing can differ")
        first, second, third = columns
        return cls(first, second, third, np.full(count, float(spread)), own, kinds)

    @property
    def count(self) -> int:
        """How many pairs there are."""
        return len(self.known)

    def mirrored(self) -> Self:
        """The same pairs, their two answers having changed names."""
        return type(self)(
            -self.known, -self.lengths, -self.gold, self.spread, csr_array(-self.design), self.groups
        )


def score_design(first: Positions, second: Positions, answers: int) -> csr_array:
    """The design of free scores: the first answer's less the second's, [pairs, answers].

    Scores of answers that no chain of pairs connects, as of different prompts, are not comparable.
    """
    rows = np.arange(len(first))
    ones = np.ones(len(first))
    cells = (np.concatenate([rows, rows]), np.concatenate([first, second]))
    return csr_array(coo_array((np.concatenate([ones, -ones]), cells), shape=(len(first), answers)))
