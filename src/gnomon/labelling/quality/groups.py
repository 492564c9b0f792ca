"""Whether groups of annotators see things differently: reported, never voted away."""

import csv
from collections.abc import Mapping
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.errors import DataError
from gnomon.labelling.quality.agreement import excerpt
from gnomon.labelling.quality.ballots import Ballots
from gnomon.labelling.quality.figures import Figure, figure, missing
from gnomon.stats.bootstrap import mean_interval
from gnomon.stats.coincidence import raw_agreement, tally
from gnomon.stats.units import Floats

COLUMNS = ("annotator", "group")
FARTHEST = 10
"""Pairs shown on which two groups lie farthest apart."""


def read_groups(path: Path) -> dict[str, str]:
    """Pseudonyms and their groups from a CSV file with the columns `annotator` and `group`; DataError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path} cannot be read as text: {problem}") from problem
    table = csv.DictReader(text.splitlines())
    if not set(COLUMNS) <= set(table.fieldnames or ()):
        raise DataError(f"{path}: the first line must name the columns {' and '.join(COLUMNS)}")
    rows = [(row["annotator"], row["group"]) for row in table]
    for number, row in enumerate(rows, start=2):
        if not all(row):
            raise DataError(
                f"line {number} of {path}: an annotator or a group is empty; fill it in or drop it"
            )
    return dict(rows)


def by_group(ballots: Ballots, groups: Mapping[str, str]) -> dict[str, Any]:
    """Agreement within and between groups on ordinary items, and the pairs on which they differ most.

    Who has no group is left out. `between` counts pairs of votes of one item, one from each group.
    """
    own = [groups.get(name) for name in ballots.names]
    names = sorted({name for name in own if name is not None})
    counts = {name: _counts(ballots, [name == one for one in own]) for name in names}
    prompts = ballots.prompts.tolist()
    within = {
        name: {
            "annotators": sum(name == one for one in own),
            "votes": int(counts[name].sum()),
            "agreement": figure(partial(raw_agreement, counts[name], prompts)),
        }
        for name in names
    }
    between = [
        {
            "groups": [one, other],
            "agreement": _crossed(counts[one], counts[other], ballots),
            "apart": _apart(counts[one], counts[other], ballots),
        }
        for one, other in combinations(names, 2)
    ]
    return {"within": within, "between": between, "ungrouped": sum(one is None for one in own)}


def _counts(ballots: Ballots, members: list[bool]) -> Floats:
    """How often each item got each direction from some annotators, [items, 3]."""
    size = len(ballots.item_names)
    rows = np.flatnonzero(ballots.counted & np.array(members, dtype=bool)[ballots.annotators])
    if not rows.size:
        return np.zeros((size, 3))
    found = tally(ballots.items[rows], ballots.directions[rows], 3)
    return np.concatenate([found, np.zeros((size - len(found), 3))])


def _crossed(one: Floats, other: Floats, ballots: Ballots) -> Figure:
    equal = (one * other).sum(axis=1).astype(np.int64)
    every = (one.sum(axis=1) * other.sum(axis=1)).astype(np.int64)
    if not every.any():
        return missing("no pair was judged by both groups")
    sizes = np.column_stack([equal, every - equal]).ravel()
    values = np.repeat(np.tile([1.0, 0.0], len(equal)), sizes)
    return figure(lambda: mean_interval(values, np.repeat(ballots.prompts, every).tolist()))


def _apart(one: Floats, other: Floats, ballots: Ballots) -> list[dict[str, Any]]:
    """Items by the distance between the groups' mean directions, farthest first."""
    both = np.flatnonzero((one.sum(axis=1) > 0) & (other.sum(axis=1) > 0))
    first, second = (counts[both] @ [-1, 0, 1] / counts[both].sum(axis=1) for counts in (one, other))
    order = np.argsort(-np.abs(first - second), kind="stable")[:FARTHEST]
    return [
        {
            "item": ballots.item_names[both[place]],
            "asked": excerpt(ballots.asked[both[place]]),
            "said": [counts[both[place]][::-1].astype(int).tolist() for counts in (one, other)],
        }
        for place in order
        if first[place] != second[place]
    ]
