"""Published votes of people, as arrays."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gnomon.stats.units import positions

Find = Callable[[str], Path]
LLMFAO = "llmfao/crowd-comparisons.csv"
PANDALM = "pandalm/testset-v1.json"


class Crowd(NamedTuple):
    """Votes, [votes] each, 0 right, 1 tie, 2 left; and each pair's two models, [pairs]."""

    pairs: np.ndarray
    annotators: np.ndarray
    outcomes: np.ndarray
    left: np.ndarray
    right: np.ndarray


def llmfao(published: Find) -> Crowd:
    with published(LLMFAO).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pairs = positions([row["id"] for row in rows], len(rows))
    first = np.unique(pairs, return_index=True)[1]
    models = positions([row[side] for side in ("left", "right") for row in rows], 2 * len(rows))
    outcomes = np.array([("right", "tie", "left").index(row["winner"]) for row in rows])
    left, right = np.split(models, 2)
    annotators = np.array([int(row["worker"]) for row in rows])
    return Crowd(pairs, annotators, outcomes, left[first], right[first])


def pandalm(published: Find) -> np.ndarray:
    """Three people's labels of each pair, [pairs, 3]: 0 a tie, 1 the first, 2 the second."""
    rows = json.loads(published(PANDALM).read_text(encoding="utf-8"))
    return np.array([[row[f"annotator{k}"] for k in (1, 2, 3)] for row in rows])
