"""How good reward models are on the comparisons that train: each scored by a model that did not meet it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gnomon.data.splits import cluster, opening
from gnomon.errors import DataError
from gnomon.evaluation.reward import reward_report
from gnomon.models.reward_model import Scorer
from gnomon.pipeline.account import free_memory
from gnomon.records import Comparison
from gnomon.training.reward import score_comparisons

TOLD = ("accuracy", "matched", "by_reason", "length_correlation", "ece", "ece_interval")
"""What is reported of it."""


def folds_of(rows: Sequence[Comparison], folds: int, seed: int) -> list[int]:
    """The fold of each row, whole clusters of near-duplicates in one; DataError where there are too few."""
    names = cluster([opening(row.prompt) for row in rows])
    count = max(names, default=-1) + 1
    if count < folds:
        raise DataError(f"reward.folds is {folds}, and the comparisons are of {count} prompts; set it lower")
    order = np.random.default_rng(seed).permutation(count)
    return [int(order[name]) % folds for name in names]


def refuse_undecided(rows: Sequence[Comparison], places: Sequence[int], folds: int) -> None:
    """DataError where a fold holds ties alone, as `places` has the fold of each row: nothing there says how
    good a model is."""
    decided = {own for row, own in zip(rows, places, strict=True) if not row.is_tie}
    if len(decided) < folds:
        raise DataError(
            f"reward.folds is {folds}, and in {folds - len(decided)} of them all comparisons are ties, which "
            "say of no model how good it is, so nothing is trained; set it lower, 0 for none, or give more "
            "comparisons that prefer an answer"
        )


def cross_validated(
    rows: Sequence[Comparison], folds: int, seed: int, learn: Callable[[list[Comparison], int], Scorer]
) -> dict[str, Any]:
    """Figures over all rows, each fold scored by what `learn` made of the others.

    Scores of different models are compared in the correlation with length alone. DataError, before anything
    is learnt, where there are too few prompts, or a fold's comparisons are all ties.
    """
    places = folds_of(rows, folds, seed)
    refuse_undecided(rows, places, folds)
    first, second, chances = ([0.0] * len(rows) for _ in range(3))
    for fold in range(folds):
        scorer = learn([row for row, own in zip(rows, places, strict=True) if own != fold], fold)
        held = [i for i, own in enumerate(places) if own == fold]
        scores = score_comparisons(scorer, [rows[i] for i in held])
        for i, one, other in zip(held, *scores, strict=True):
            first[i], second[i], chances[i] = one.value, other.value, scorer.chance(one, other)
        del scorer
        free_memory()
    report = reward_report(rows, first, second, chances)
    return {"folds": folds} | {name: report[name] for name in TOLD if name in report}
