"""What climbs came to: where gold turned, Gao's fits, and what alarms and forecasts made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any

import numpy as np

from gnomon.errors import DataError
from gnomon.settings.guards import GuardSettings
from gnomon.stats.agreement import agreement_by_prompt
from gnomon.stats.alarms import Point
from gnomon.stats.forecast import Forecast, Seen, Witness, foretell, witness
from gnomon.stats.overopt import Course, Form, Turn, fit_courses, turn
from gnomon.stats.units import Floats
from gnomon.training.lookout import POINTS, Lookout

SCORES = ("proxy", "second", "spread", "gold")
SURE = 0.7
"""The share of resamples that must have a peak in sight before it is told."""
MOST = 0.75
"""The share of the way to a peak before which it is not told: few samples stand for what is far ahead."""
LOST = 0.1
"""The share of its gain that gold may lose before an alarm is too late."""
CLEAR = 0.1
"""The share of its gain that gold must have lost at the end to have fallen."""


@dataclass(frozen=True, eq=False)
class Climb:
    """The points of one climb, the start first, and how proxy and second model judge held-out pairs.

    `distances` [points] are in root nats, `means` [points, prompts] by the names `SCORES`; `seen` is what a
    forecast sees of each point of RL.
    """

    seed: int
    method: Form
    proxy: str
    guarded: bool
    steps: Sequence[int]
    distances: Floats
    means: Mapping[str, Floats]
    seen: Sequence[Seen] = ()
    held: Mapping[str, Floats] | None = None

    @property
    def name(self) -> str:
        """What climbs with different seeds have in common."""
        return f"{self.method} {self.proxy}{' guarded' if self.guarded else ''}"

    def gains(self, score: str) -> Floats:
        """What each prompt had gained by the score, [points, prompts]."""
        values = self.means[score]
        return np.asarray(values - values[0])

    def course(self, score: str) -> Floats:
        """The mean gain, [points]."""
        return np.asarray(self.gains(score).mean(axis=1))


def policy_climb(
    seed: int, proxy: str, rows: Sequence[Mapping[str, Any]], held: Mapping[str, Any], *, guarded: bool
) -> Climb:
    """A climb by RL, from its rows of points and what was kept of the held-out pairs."""
    samples = {
        name: np.array([row["samples"][name] for row in rows], dtype=np.float64)
        for name in (*SCORES, "log_ratio")
    }
    seen = [
        Seen(*point) for point in zip(samples["proxy"], samples["second"], samples["log_ratio"], strict=True)
    ]
    return Climb(
        seed,
        "rl",
        proxy,
        guarded,
        [int(row["step"]) for row in rows],
        np.array([point.distance for point in seen]),
        {name: values.mean(axis=2) for name, values in samples.items()},
        seen,
        {name: np.array(values, dtype=np.float64) for name, values in held.items()},
    )


def best_climb(seed: int, proxy: str, rows: Sequence[Mapping[str, Any]]) -> Climb:
    """The climb of the best of 1, 2, 4 ... answers, from its rows."""
    means = {name: np.array([row["prompts"][name] for row in rows], dtype=np.float64) for name in SCORES}
    steps = [int(row["step"]) for row in rows]
    distances = np.array([sqrt(row["kl"]) for row in rows])
    return Climb(seed, "best_of_n", proxy, False, steps, distances, means)


def findings(climb: Climb) -> dict[str, Any]:
    """What one climb came to, as plain JSON values; gains of gold are in its own unit."""
    gold, course = climb.course("gold"), climb.course("proxy")
    found = turn(gold)
    told: dict[str, Any] = {
        "seed": climb.seed,
        "method": climb.method,
        "proxy": climb.proxy,
        "guarded": climb.guarded,
        "gained": found.gained,
        "peak": float(climb.distances[found.place]),
        "lost": found.lost,
        "end": float(climb.distances[-1]),
        "proxy_gained": float(course[-1]),
        "over_optimised": bool(found.gained > 0 and found.lost > CLEAR and course[-1] > course[found.place]),
    }
    if climb.held is None:
        return told
    known = witnessed(climb)
    proxy, second = (
        np.array(values) for values in zip(*((p.proxy, p.second) for p in climb.seen), strict=True)
    )
    plain = alarmed(climb, found, second)
    if isinstance(known, str):
        return told | {"alarm": plain, "forecast": {"blind": known}}
    told |= {"alarm": plain, "alarm_freed": alarmed(climb, found, known.implied(proxy, second))}
    return told | {"forecast": forecasted(climb, found, known)}


def witnessed(climb: Climb) -> Witness | str:
    """What held-out pairs tell of proxy and second model, or why a forecast by them would be blind."""
    assert climb.held is not None
    try:
        known = witness(climb.held["proxy"], climb.held["second"], climb.held["votes"])
        known.implied(np.zeros(1), np.zeros(1))
    except DataError as problem:
        return str(problem)
    return known


def alarmed(climb: Climb, found: Turn, second: Floats) -> dict[str, Any]:
    """The first alarm by what a user has, if any, the share of its gain that gold had lost by then, and the
    share of it that gold had; `each` has the same of the first alarm of every name that fired.

    `second` [points, prompts, samples] is the second model's score, as it is or freed of what it shares with
    the proxy.
    """
    lookout = Lookout(len(climb.steps), GuardSettings(), climb.seed, POINTS)
    gold, each = climb.course("gold"), dict[str, Any]()
    for k, step in enumerate(climb.steps):
        scores = {
            "proxy": climb.means["proxy"][k],
            "second": second[k].mean(axis=1),
            "spread": climb.means["spread"][k],
            "agreement": agreement_by_prompt(climb.seen[k].proxy, second[k]),
        }
        lookout.see(
            Point(step, {name: _by_prompt(values) for name, values in scores.items() if values.any()})
        )
        said = {"step": step, "distance": float(climb.distances[k]), **_worth(gold[: k + 1], found)}
        each |= {alarm.name: said for alarm in lookout.fired if alarm.name not in each}
    first = min((said["step"] for said in each.values()), default=None)
    names = [name for name, said in each.items() if said["step"] == first]
    nothing = dict.fromkeys(("step", "distance", "lost", "had"))
    return {"fired": names, **(each[names[0]] if names else nothing), "each": each}


def _by_prompt(values: Floats) -> dict[str, float]:
    return {f"prompt-{i}": float(value) for i, value in enumerate(values) if isfinite(value)}


def _worth(gold: Floats, found: Turn) -> dict[str, float]:
    """What gold has lost and has, as shares of what it gains at most, at the last of the points so far."""
    most = found.gained if found.gained > 0 else 1.0
    return {"lost": float(gold.max() - gold[-1]) / most, "had": float(gold[-1]) / most}


def forecasted(climb: Climb, found: Turn, known: Witness) -> dict[str, Any]:
    """The first forecast that had the peak in sight, and where following all of them would have stopped.

    `error` is relative to where gold was highest, `early` whether it was made before that. `missed` is the
    share of what gold gained at most that the policy at the `stop` does without, `missed_back` the one gone
    back to: of those up to the stop that of the highest implied gold; without a stop it is the last.
    """
    told = [foretell(climb.seen[: k + 1], known, seed=climb.seed) for k in range(1, len(climb.seen))]
    stop = next((k + 1 for k, one in enumerate(told) if _reached(one, climb.distances[k + 1])), None)
    first = next((k for k, one in enumerate(told) if _told(one, climb.distances[k + 1])), None)
    gold = climb.course("gold")
    at = len(gold) - 1 if stop is None else stop
    back = at if stop is None else int(np.argmax(_gained(climb, known)[: stop + 1]))
    said: dict[str, Any] = {
        "by_proxy": known.by_proxy,
        "by_gold": known.by_gold,
        "accuracy": list(known.accuracy),
        "together": known.together,
        "stop": None if stop is None else float(climb.distances[stop]),
        "missed": 1 - float(gold[at]) / found.gained if found.gained > 0 else 0.0,
        "back": float(climb.distances[back]),
        "missed_back": 1 - float(gold[back]) / found.gained if found.gained > 0 else 0.0,
    }
    if first is None:
        return said | {"peak": None}
    one, best = told[first], float(climb.distances[found.place])
    return said | {
        "peak": one.peak,
        "low": one.low,
        "high": one.high if isfinite(one.high) else None,
        "made_at": float(climb.distances[first + 1]),
        "early": bool(climb.steps[first + 1] <= climb.steps[found.place]),
        "error": abs(one.peak - best) / best if best > 0 else None,
    }


def implied(climb: Climb) -> Floats | None:
    """What gold has gained as the two scores imply it, in its own unit, [points]; None where they cannot."""
    known = "" if climb.held is None else witnessed(climb)
    if climb.held is None or isinstance(known, str):
        return None
    return np.asarray(_gained(climb, known) * float(climb.held["gold"].std()))


def _gained(climb: Climb, known: Witness) -> Floats:
    """What gold has gained as both scores imply, [points], in standard deviations of its differences."""
    return known.implied(climb.course("proxy"), climb.course("second"))


def promised(climb: Climb) -> Floats | None:
    """What the proxy promises: gold's gain if its score meant what it does on held-out pairs, [points]."""
    if climb.held is None:
        return None
    margins, gold = climb.held["proxy"], climb.held["gold"]
    return np.asarray(climb.course("proxy") * float(margins @ gold) / float(margins @ margins))


def fits(climbs: Sequence[Climb], away: float, resamples: int) -> dict[str, Any]:
    """Gao's form fitted to the gold of climbs of one name, over seeds; what cannot be fitted says why."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(climb.name for climb in climbs):
        own = [climb for climb in climbs if climb.name == name]
        courses = [Course(climb.distances, climb.gains("gold")) for climb in own]
        near = away if own[0].method == "rl" else 0.0
        try:
            found[name] = fit_courses(own[0].method, courses, near, resamples).to_json()
        except DataError as problem:
            found[name] = {"missing": str(problem)}
    return found


def _told(one: Forecast, distance: float) -> bool:
    """Whether the peak is in sight, with most of the way to it behind."""
    return isfinite(one.peak) and one.sure >= SURE and distance >= MOST * one.peak


def _reached(one: Forecast, distance: float) -> bool:
    """Whether nothing is foretold to be gained any more."""
    return _told(one, distance) and one.peak <= distance
