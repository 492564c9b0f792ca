"""The pairs that a ranking implies, each of which knows that it is one of several."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple


class Implied(NamedTuple):
    """Two places of a ranking's answers; `preference` is 1 where the first ranks above, 0 below, else 0.5."""

    first: int
    second: int
    preference: float


def implied(ranks: Sequence[int]) -> Iterator[Implied]:
    """Every pair of answers, from the rank of each by place; 1 is the best, equal ranks are ties."""
    for first, second in combinations(range(len(ranks)), 2):
        one, other = ranks[first], ranks[second]
        yield Implied(first, second, 0.5 if one == other else float(one < other))
