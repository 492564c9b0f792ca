"""Win rates at equal length."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.clustered import linear_interval
from gnomon.stats.logistic import derivatives, fit_logistic
from gnomon.stats.units import Floats, finite, same_length

_PSEUDO_WEIGHT = 0.2 / 2
"""What a pseudo-row weighs: two of each instruction together, a fifth of a row."""
_PENALTIES = 1 / np.logspace(-4, 4, 10)
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class PseudoRows:
    """Judgements of the baseline against itself told to be brief or verbose: what length alone does.

    `length_differences` are already over their spread; all are [rows].
    """

    preferences: Floats
    length_differences: Floats
    difficulties: Floats

    def __post_init__(self) -> None:
        same_length(self.preferences, self.length_differences, "pseudo-rows")
        same_length(self.preferences, self.difficulties, "pseudo-rows")


def length_adjusted_win_rate(
    preferences: Sequence[float] | Floats,
    length_differences: Sequence[float] | Floats,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Estimate:
    """The win rate read at no difference in length: logit P = theta + phi tanh(dlen / sigma), expit(theta).

    `preferences` lie in [0, 1], 1 where the model wins and fractions where the judge is in doubt or orders
    disagree; `length_differences` are the model's answer minus the other's, in any unit, and sigma their
    standard deviation. The interval is `linear_interval`'s of theta by the clustered sandwich, at logit
    scale. DataError for other values, lengths that do not differ, and preferences that length
    separates, as where all are the same: the raw rate and its interval are what there is.
    """
    wins, lengths = _rows(preferences, length_differences)
    design = np.column_stack([np.ones(wins.size), np.tanh(lengths)])
    weights = np.ones((1, wins.size))
    found = fit_logistic(design, wins, weights, np.zeros(1))
    _, curvature = derivatives(design, wins, weights, found)
    residuals = wins - expit(design @ found[0])
    influence = wins.size * (design @ np.linalg.inv(curvature[0])[0]) * residuals
    logit = linear_interval(float(found[0, 0]), influence, clusters, level)
    low, value, high = (float(expit(x)) for x in (logit.low, logit.value, logit.high))
    return Estimate(value, low, high, wins.size)


def length_controlled_win_rate(
    preferences: Sequence[float] | Floats,
    length_differences: Sequence[float] | Floats,
    difficulties: Sequence[float] | Floats,
    pseudo: PseudoRows,
    clusters: Sequence[Hashable] | None = None,
    penalty: float | None = None,
    level: float = 0.95,
) -> Estimate:
    """AlpacaEval's length-controlled win rate (arXiv:2404.04475), given its difficulties and pseudo-rows.

    logit P = phi tanh(dlen / sigma) + psi difficulty + theta, where pseudo-rows have no theta and weigh a
    tenth; an |.|_1 penalty on all three, chosen from 1e-4 to 1e4 by five folds unless given; read as the
    mean over instructions at dlen = 0. `difficulties` are the instructions', from a fit to many models; the
    rest is as in `length_adjusted_win_rate`. The interval takes pseudo-rows, difficulties and penalty for
    known. DataError as there.
    """
    wins, lengths = _rows(preferences, length_differences)
    hard = finite(difficulties, "difficulties")
    same_length(wins, hard, "preferences and difficulties")
    own = np.column_stack([np.tanh(lengths), hard, np.ones(wins.size)])
    theirs = np.column_stack(
        [np.tanh(pseudo.length_differences), pseudo.difficulties, np.zeros(pseudo.preferences.size)]
    )
    design, targets = np.concatenate([theirs, own]), np.concatenate([pseudo.preferences, wins])
    weights = np.repeat([_PSEUDO_WEIGHT, 1.0], [len(theirs), len(own)])[None]
    if penalty is None:
        penalty = _chosen_penalty(design, targets, weights[0])
    found = fit_logistic(design, targets, weights, np.array([penalty]))
    _, curvature = derivatives(design, targets, weights, found)
    level_ground = own * [0, 1, 1]
    rates = expit(level_ground @ found[0])
    gradient = (rates * (1 - rates)) @ level_ground / wins.size
    residuals = wins - expit(own @ found[0])
    influence = rates + wins.size * (own @ np.linalg.pinv(curvature[0]) @ gradient) * residuals
    return linear_interval(float(rates.mean()), influence, clusters, level)


def _rows(
    preferences: Sequence[float] | Floats, differences: Sequence[float] | Floats
) -> tuple[Floats, Floats]:
    """Preferences, and differences in length over their standard deviation, both [rows]."""
    wins, lengths = finite(preferences, "preferences"), finite(differences, "length_differences")
    same_length(wins, lengths, "preferences and length_differences")
    if wins.min() < 0 or wins.max() > 1:
        raise DataError("win rate: preferences lie in [0, 1], 1 where the model wins; found others")
    spread = float(lengths.std(ddof=1)) if lengths.size > 1 else 0.0
    if spread == 0:
        raise DataError("win rate: lengths differ alike in every row, so nothing can be said of equal length")
    return wins, lengths / spread


def _chosen_penalty(design: Floats, targets: Floats, weights: Floats) -> float:
    """The penalty whose fits have the least weighted cross-entropy on the rows they did not see.

    Every fifth row is a fold.
    """
    fold = np.arange(targets.size) % _FOLDS
    held_out = fold == np.arange(_FOLDS)[:, None]
    seen = np.repeat(np.where(held_out, 0.0, weights), _PENALTIES.size, axis=0)
    found = fit_logistic(design, targets, seen, np.tile(_PENALTIES, _FOLDS))
    logits = (found @ design.T).reshape(_FOLDS, _PENALTIES.size, -1)
    losses = np.logaddexp(0, logits) - targets * logits
    scores = (losses * weights * held_out[:, None]).sum(axis=2) / held_out.sum(axis=1)[:, None]
    return float(_PENALTIES[scores.mean(axis=0).argmin()])
