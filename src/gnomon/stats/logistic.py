"""Logistic regression of fractions, many weightings of the same rows at once."""

import numpy as np
from scipy.special import expit

from gnomon.errors import DataError
from gnomon.stats.units import Floats

_STEPS = 100
_CLOSE = 1e-7
"""Coefficients that move by less have been found."""
_CERTAIN = 30.0
"""Odds of e^30: a coefficient beyond it has nothing to hold it."""
_CORNER = 1e-6
"""|b| is taken for sqrt(b^2 + corner^2), which has a slope at 0."""
_RIDGE = 1e-9
"""Share of the curvature added to each step, which columns that say the same need; it moves no solution."""


def fit_logistic(design: Floats, targets: Floats, weights: Floats, penalties: Floats) -> Floats:
    """The b of each fit, [fits, columns], that minimises sum_i w_i CE(t_i, expit(x_i b)) + penalty |b|_1.

    `design` is [rows, columns], with columns of about 1; `targets` [rows] in [0, 1], `weights` [fits, rows],
    `penalties` [fits]. Newton's steps, with |b| bounded above by a parabola at each. DataError where a fit
    without penalty does not settle, as where a column separates the targets.
    """
    found = np.zeros((weights.shape[0], design.shape[1]))
    for step_number in range(_STEPS):
        slope, curvature = derivatives(design, targets, weights, found)
        # All start at 0, where |b| has no parabola: the first step knows no penalty.
        held = penalties[:, None] / np.hypot(found, _CORNER) if step_number else np.zeros_like(found)
        diagonal = held + _RIDGE * np.trace(curvature, axis1=1, axis2=2)[:, None]
        steep = curvature + diagonal[:, :, None] * np.eye(design.shape[1])
        step = np.linalg.solve(steep, (slope + held * found)[:, :, None])[:, :, 0]
        found = found - step
        if (np.abs(found[penalties == 0]) > _CERTAIN).any():
            break
        if np.abs(step).max() < _CLOSE:
            return found
    if (penalties > 0).all():
        return found
    raise DataError(
        "a logistic regression does not settle: one of its columns separates what it is to predict"
    )


def derivatives(design: Floats, targets: Floats, weights: Floats, found: Floats) -> tuple[Floats, Floats]:
    """Of the weighted cross-entropy: the first, [fits, columns], and the second, [fits, columns, columns]."""
    chances = expit(found @ design.T)
    slope = (weights * (chances - targets)) @ design
    products = (design[:, :, None] * design[:, None, :]).reshape(design.shape[0], -1)
    curvature = (weights * chances * (1 - chances)) @ products
    return slope, curvature.reshape(found.shape[0], design.shape[1], design.shape[1])
