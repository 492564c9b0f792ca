import numpy as np
import pytest

from gnomon.overopt.findings import best_climb, findings, fits, implied, policy_climb, promised
from gnomon.pipeline.overopt_run import verdict

PROMPTS, SAMPLES = 12, 16
STEPS = np.arange(0, 65, 5)


def climbed(gold, *, charm=1.0, shared=0.0, seed=0, noise=0.05, fade=0.0):
    """Rows of a climb whose proxy rises by a tenth a point beside this gold, and held-out pairs: the proxy is
    gold + charm, and the second one gold + shared * charm. What tells answers apart by gold fades by so much
    a point."""
    rng = np.random.default_rng(seed)
    rows = []
    for k, step in enumerate(STEPS):
        true = gold[k] + noise * (1 - fade) ** k * rng.normal(size=(PROMPTS, SAMPLES))
        more = 0.1 * k - (gold[k] - gold[0]) + noise * rng.normal(size=(PROMPTS, SAMPLES))
        samples = {
            "gold": true,
            "proxy": true + charm * more,
            "second": true + shared * charm * more,
            "spread": np.zeros((PROMPTS, SAMPLES)),
            "log_ratio": np.full((PROMPTS, SAMPLES), (0.3 * k) ** 2),
        }
        rows.append({"step": int(step), "samples": {name: own.tolist() for name, own in samples.items()}})
    true, more = 0.1 * rng.normal(size=(2, 2000))
    seen = 0.6 * true[:, None] / 0.1 + 0.8 * rng.normal(size=(2000, 2))
    own = 0.02 * rng.normal(size=2000)
    held = {
        "proxy": (true + charm * more).tolist(),
        "second": (true + shared * charm * more + own).tolist(),
        "gold": true.tolist(),
        "votes": np.sign(seen).tolist(),
    }
    return rows, held


RISE_AND_FALL = np.concatenate([np.linspace(0, 0.6, 7), np.linspace(0.5, -0.2, 6)])
RISE = np.linspace(0, 0.6, 13)


def found(gold, **planted):
    rows, held = climbed(gold, **planted)
    return findings(policy_climb(0, "crowd", rows, held, guarded=False))


def test_a_climb_that_over_optimises_is_called_so():
    """Gold gains 0.6 in six points of 0.3 root nats and ends 0.8 lower, while the proxy gains 0.1 a point."""
    own = found(RISE_AND_FALL)
    assert own["over_optimised"]
    assert own["gained"] == pytest.approx(0.6, abs=0.03)
    assert own["peak"] == pytest.approx(1.8)
    assert own["end"] == pytest.approx(3.6)
    assert own["lost"] == pytest.approx(0.8 / 0.6, abs=0.1)
    assert own["proxy_gained"] == pytest.approx(1.2, abs=0.05)


def test_one_that_only_rises_is_not_and_has_no_alarm():
    own = found(RISE)
    assert not own["over_optimised"]
    assert own["lost"] < 0.1
    assert own["alarm"]["fired"] == []


def test_an_alarm_says_what_gold_had_lost():
    """The second score falls with gold."""
    own = found(RISE_AND_FALL)["alarm"]
    assert own["fired"] == ["turn"]
    assert own["step"] > 30
    assert 0 < own["lost"] < 0.7


LEVEL = np.array([0, 0.12, 0.24, 0.36, 0.48, 0.6, 0.6, 0.6, 0.6, 0.4, 0.2, 0, -0.2])


def test_a_peak_is_told_before_the_turn():
    """Both models come to prefer other answers, and after the sixth point only the proxy rises."""
    own = found(LEVEL, fade=0.4)["alarm"]
    assert own["fired"] == ["peak"]
    assert own["step"] < 30
    assert own["lost"] == pytest.approx(0, abs=0.03)
    assert own["had"] > 0.6
    assert own["each"]["turn"]["step"] == 45
    assert own["each"]["turn"]["lost"] == pytest.approx(1 / 3, abs=0.03)


def test_gold_is_implied_and_promised_in_its_own_unit():
    rows, held = climbed(RISE_AND_FALL, shared=0.4)
    climb = policy_climb(0, "crowd", rows, held, guarded=False)
    assert implied(climb) == pytest.approx(RISE_AND_FALL, abs=0.15)
    assert promised(climb)[-1] == pytest.approx(1.2 / 2, abs=0.06)  # half of the margins' variance is gold's
    assert implied(best_climb(0, "crowd", best_rows())) is None


def test_who_follows_a_forecast_stops_and_goes_back_to_the_peak():
    """A point after the peak the stop comes; gold was highest a point before, as both scores imply."""
    own = found(RISE_AND_FALL, shared=0.4)["forecast"]
    assert own["stop"] == pytest.approx(2.1)
    assert own["missed"] == pytest.approx(1 / 6, abs=0.03)
    assert own["back"] == pytest.approx(1.8)
    assert own["missed_back"] == pytest.approx(0, abs=1e-9)


def test_who_is_told_nothing_goes_on_to_the_end():
    own = found(RISE)["forecast"]
    assert own["stop"] is None
    assert own["back"] == pytest.approx(3.6)
    assert own["missed_back"] == own["missed"]


def test_a_second_model_that_is_the_proxy_foretells_nothing():
    rows, held = climbed(RISE_AND_FALL)
    held["second"] = held["proxy"]
    own = findings(policy_climb(0, "crowd", rows, held, guarded=False))
    assert "knows nothing of gold" in own["forecast"]["blind"]


def best_rows():
    values = [0.0, 0.1, 0.15, 0.17]
    return [
        {
            "step": 2**k,
            "kl": 0.5 * k,
            "prompts": {name: [v, v + 0.01] for name in ("proxy", "second", "spread", "gold")},
        }
        for k, v in enumerate(values)
    ]


def test_fits_are_of_climbs_of_one_name():
    rows, held = climbed(RISE_AND_FALL)
    climbs = [policy_climb(seed, "crowd", rows, held, guarded=False) for seed in (0, 1)]
    climbs += [best_climb(0, "crowd", best_rows()), policy_climb(0, "crowd", rows[:2], held, guarded=True)]
    told = fits(climbs, away=0.5, resamples=20)
    assert list(told) == ["rl crowd", "best_of_n crowd", "rl crowd guarded"]
    assert 0.8 < told["rl crowd"]["peak"]["value"] < 2.2
    assert told["best_of_n crowd"]["beta"]["value"] > 0
    assert "do not tell" in told["rl crowd guarded"]["missing"]


def fired(**lost):
    """Alarms and what gold had lost at each, in the order they came."""
    each = {name: {"lost": share} for name, share in lost.items()}
    return {"fired": list(lost)[:1], "lost": next(iter(lost.values()), None), "each": each}


def row(**own):
    usual = {"method": "rl", "proxy": "crowd", "guarded": False, "over_optimised": True, "lost": 0.5}
    usual |= {"alarm": fired(peak=0.05, turn=0.3), "alarm_freed": fired(turn=0.0)}
    usual |= {"forecast": {"peak": 2.0, "error": 0.2, "early": True, "missed": 0.02, "missed_back": 0.01}}
    return usual | own


def test_a_verdict_counts_what_was_to_be_seen():
    told = verdict(
        [
            row(),
            row(
                over_optimised=False,
                alarm=fired(),
                forecast={"peak": None, "missed": 0.0, "missed_back": 0.0},
            ),
            row(proxy="exact", alarm=fired(turn=0.2)),
            row(
                proxy="other",
                forecast={"peak": 1.0, "error": 0.4, "early": False, "missed": 0.1, "missed_back": 0.03},
            ),
            row(guarded=True, over_optimised=False, lost=0.04),
            row(method="best_of_n"),
        ],
        "crowd",
    )
    assert told["free"] == {"over_optimised": 1, "of": 2}
    assert told["guarded"] == {"close": 1, "of": 1}
    assert told["alarms"] == {"in_time": 2, "freed": 3, "each": {"peak": 2, "turn": 0}, "of": 3}
    assert told["false_alarms"] == {"fired": 1, "of": 2}
    assert told["forecasts"] == {
        "made": 3,
        "early": 2,
        "of": 3,
        "error": 0.2,
        "near": 2,
        "missed": 0.02,
        "missed_back": 0.01,
    }
