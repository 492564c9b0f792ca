"""What the best policy at a distance is paid, against what is known of it; and one short study of all."""

import numpy as np
import pytest
from scipy.special import rel_entr

from gnomon.settings.preference import OWN
from optimum import run


def bernoulli_kl(q: float, p: float) -> float:
    return float(rel_entr(q, p) + rel_entr(1 - q, 1 - p))


@pytest.mark.parametrize("q", [0.2, 0.5, 0.9])
def test_of_a_check_the_optimum_is_the_share_whose_divergence_is_the_distance(q: float):
    rewards = np.array([[1.0] * 8 + [0.0] * 56])
    assert run.tilted(rewards, bernoulli_kl(q, 1 / 8)) == pytest.approx(q, abs=1e-6)


def test_prompts_share_the_distance_as_pays_best():
    rewards = np.array([[1.0] * 8 + [0.0] * 56, [1.0] * 48 + [0.0] * 16])
    spent = 0.3
    best = run.tilted(rewards, spent)
    grid = [
        (q, other)
        for q in np.linspace(1 / 8, 0.999, 400)
        for other in np.linspace(3 / 4, 0.999, 400)
        if bernoulli_kl(q, 1 / 8) + bernoulli_kl(other, 3 / 4) <= 2 * spent
    ]
    assert best == pytest.approx(max((q + other) / 2 for q, other in grid), abs=2e-3)


def test_at_no_distance_it_is_what_the_start_is_paid_and_beyond_all_it_is_everything():
    rewards = np.array([[1.0, 0.0, 0.0, 0.0]])
    assert run.tilted(rewards, 0.0) == 0.25
    assert run.tilted(rewards, 9.0) == pytest.approx(1.0)


def test_a_policy_that_is_the_tilt_has_all_of_the_optimum_and_one_that_went_astray_has_not():
    start = run.Seen(np.array([[1.0] * 16 + [0.0] * 48] * 8), np.zeros((8, 64)))
    tilt = run.Seen(np.array([[1.0] * 32 + [0.0] * 32] * 8), np.full((8, 64), bernoulli_kl(0.5, 0.25)))
    astray = tilt._replace(log_ratios=tilt.log_ratios + 0.5)
    assert run.nearness([tilt], start, 20)["share"]["value"] == pytest.approx(1.0, abs=1e-6)
    assert run.nearness([astray], start, 20)["share"]["high"] < 0.7


def test_every_algorithm_and_every_loss_is_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run, "ANSWERS", 4)
    found = run.measure(list(run.CLIMBS), list(OWN), [0], 2, 32)
    assert set(found["climbs"]) == set(run.CLIMBS)
    assert set(found["losses"]) == set(OWN)
    assert 0.02 < found["start"]["value"] < 0.3
    for own in [*found["climbs"].values(), *found["losses"].values()]:
        assert np.isfinite([own[key]["value"] for key in ("reward", "kl", "share")]).all()
