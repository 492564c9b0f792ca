import numpy as np
import pytest
from scipy.special import expit

from gnomon.errors import DataError
from gnomon.stats.logistic import derivatives, fit_logistic


def made(rows: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    design = np.column_stack([np.ones(rows), np.tanh(random.normal(size=rows)), random.normal(size=rows)])
    return design, (random.random(rows) < expit(design @ [0.5, -1.0, 0.05])).astype(float)


def test_a_constant_alone_is_the_logit_of_the_weighted_mean():
    found = fit_logistic(
        np.ones((3, 1)), np.array([1.0, 0.5, 0.0]), np.array([[1.0, 1, 1], [3, 2, 1]]), np.zeros(2)
    )
    # Means 1/2, and (3 + 1) / 6 = 2/3 of odds 2.
    assert found == pytest.approx(np.array([[0.0], [np.log(2)]]), abs=1e-7)


def test_derivatives_are_those_of_the_cross_entropy():
    design, targets = made(20)
    weights, at = np.linspace(0.5, 2, 20)[None], np.array([[0.3, -0.2, 0.1]])
    slope, curvature = derivatives(design, targets, weights, at)

    def loss(found):
        logits = design @ found
        return weights[0] @ (np.logaddexp(0, logits) - targets * logits)

    for column, step in enumerate(np.eye(3) * 1e-5):
        assert slope[0, column] == pytest.approx((loss(at[0] + step) - loss(at[0] - step)) / 2e-5, abs=1e-5)
        near = (
            derivatives(design, targets, weights, at + step)[0]
            - derivatives(design, targets, weights, at - step)[0]
        )
        assert curvature[0, column] == pytest.approx(near[0] / 2e-5, abs=1e-4)


@pytest.mark.parametrize("penalty", [0.0, 0.1, 3.0, 30.0, 1e4])
def test_the_slope_is_what_the_penalty_holds(penalty):
    design, targets = made()
    weights = np.ones((1, 300))
    found = fit_logistic(design, targets, weights, np.array([penalty]))
    slope = derivatives(design, targets, weights, found)[0][0]
    moved = np.abs(found[0]) > 1e-2
    assert slope[moved] == pytest.approx(-penalty * np.sign(found[0][moved]), abs=1e-3 + 1e-3 * penalty)
    assert (np.abs(slope[~moved]) <= penalty * 1.001).all()
    assert moved.any() == (penalty < 20)


def test_many_fits_at_once_are_each_as_alone():
    design, targets = made()
    weights = np.random.default_rng(1).random((4, 300))
    penalties = np.array([0.0, 1.0, 5.0, 20.0])
    together = fit_logistic(design, targets, weights, penalties)
    for row in range(4):
        alone = fit_logistic(design, targets, weights[row : row + 1], penalties[row : row + 1])
        assert together[row] == pytest.approx(alone[0], abs=1e-5)


def test_weights_count_rows():
    design, targets = made(30)
    counts = np.arange(30) % 3
    weighed = fit_logistic(design, targets, counts[None].astype(float), np.ones(1))
    copied = fit_logistic(
        design.repeat(counts, 0), targets.repeat(counts), np.ones((1, counts.sum())), np.ones(1)
    )
    assert weighed == pytest.approx(copied, abs=1e-6)


def test_what_is_separated_settles_only_under_a_penalty():
    design = np.column_stack([np.ones(8), np.arange(8) - 3.5])
    targets = (design[:, 1] > 0).astype(float)
    with pytest.raises(DataError, match="separates"):
        fit_logistic(design, targets, np.ones((1, 8)), np.zeros(1))
    assert np.isfinite(fit_logistic(design, targets, np.ones((1, 8)), np.ones(1))).all()
