"""What adjudicators decided, and how often votes would have said otherwise."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from gnomon.labelling.quality.annotators import Fitted
from gnomon.labelling.quality.ballots import Ballots, Counts
from gnomon.labelling.quality.figures import Figure, missing
from gnomon.labelling.tally import plurality
from gnomon.stats.proportion import wilson

SECOND, EVEN, FIRST = range(3)
"""Directions of votes, as `Ballots.directions` has them."""


def adjudication(ballots: Ballots, counts: Counts, model: Fitted) -> dict[str, Any]:
    """Items `decided` by outcome, those left `open`, and the share of decisions against majority and model.

    `majority` is of decisions for an answer or for a tie, on items of which one of these has most first
    judgements; `model` of those for an answer, where the annotators' model finds one the better.
    """
    decided = {item: own for item, own in counts.decisions.items() if own["outcome"] != "skip"}
    directions = {item: _direction(own) for item, own in decided.items() if own["outcome"] != "both_bad"}
    return {
        "decided": len(decided),
        "open": len(counts.decisions) - len(decided),
        "outcomes": dict(Counter(own["outcome"] for own in decided.values())),
        "majority": _majority(ballots, directions),
        "model": _model(ballots, directions, model),
    }


def _direction(decision: Any) -> int:
    return EVEN if decision["preferred"] is None else (FIRST, SECOND)[decision["preferred"]]


def _majority(ballots: Ballots, directions: dict[str, int]) -> Figure:
    said: dict[str, list[int]] = defaultdict(list)
    rows = np.flatnonzero(ballots.counted)
    for item, direction in zip(ballots.items[rows], ballots.directions[rows].tolist(), strict=True):
        said[ballots.item_names[item]].append(direction)
    against = [
        most != direction
        for item, direction in directions.items()
        if (most := plurality(said[item])) is not None
    ]
    return _share(against, "no decided pair has a majority")


def _model(ballots: Ballots, directions: dict[str, int], model: Fitted) -> Figure:
    if model.fit is None:
        return missing(model.why)
    better = dict(zip(ballots.item_names, model.fit.better().tolist(), strict=True))
    against = [
        (better[item] > 0.5) != (direction == FIRST)
        for item, direction in directions.items()
        if direction != EVEN and item in better and better[item] != 0.5
    ]
    return _share(against, "nothing was decided for one of both answers")


def _share(against: Sequence[bool], why: str) -> Figure:
    return wilson(sum(against), len(against)).to_json() if against else missing(why)
