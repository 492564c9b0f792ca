"""How gold rises and falls with distance: Gao et al.'s two forms (arXiv:2210.10760), their fits and peaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite
from typing import Literal, NamedTuple

import numpy as np

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.units import Floats

Form = Literal["best_of_n", "rl"]


class Curve(NamedTuple):
    """What is gained at a distance d = sqrt(KL(pi || pi_0)), 0 at 0.

    best_of_n: d (alpha - beta d). rl: d (alpha - beta ln d), whose slope is infinite at 0.
    """

    form: Form
    alpha: float
    beta: float

    def gain(self, distances: Floats) -> Floats:
        """The gain at each distance, of the same shape."""
        slope, bend = _terms(self.form, np.asarray(distances, dtype=np.float64))
        return self.alpha * slope - self.beta * bend

    @property
    def peak(self) -> float:
        """Where it is highest: alpha / 2 beta, or e^(alpha / beta - 1); infinite where it does not bend."""
        if self.beta <= 0:
            return inf
        if self.form == "best_of_n":
            return max(self.alpha / (2 * self.beta), 0.0)
        return exp(min(self.alpha / self.beta - 1, 700.0))


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """One climb: `distances` [points] and what each prompt had gained there, `gains` [points, prompts]."""

    distances: Floats
    gains: Floats

    def __post_init__(self) -> None:
        if self.gains.ndim != 2 or len(self.gains) != len(self.distances):
            raise DataError(
                f"a climb of {len(self.distances)} points with gains of shape {self.gains.shape}; each point "
                "has a row of prompts"
            )

    def beyond(self, distance: float) -> "Course":
        """The points farther than this."""
        far = self.distances > distance
        return Course(self.distances[far], self.gains[far])


class Fitted(NamedTuple):
    """A form fitted to climbs; `high` of the peak is infinite where resamples do not all bend down.

    `explained` is the share of the variance of the points' gains.
    """

    form: Form
    alpha: Estimate
    beta: Estimate
    peak: Estimate
    explained: float

    def to_json(self) -> dict[str, object]:
        """Plain JSON values, None for what is infinite."""
        peak = {name: _finite(value) for name, value in self.peak.to_json().items()}
        own = {"alpha": self.alpha.to_json(), "beta": self.beta.to_json(), "peak": peak}
        return {"form": self.form, **own, "explained": self.explained}


def fit(form: Form, distances: Floats, gains: Floats, weights: Floats | None = None) -> Curve:
    """The curve of least squares, [points] each: both forms are linear in alpha and beta.

    DataError where the points do not tell the two apart.
    """
    slope, bend = _terms(form, np.asarray(distances, dtype=np.float64))
    weights = np.ones_like(slope) if weights is None else weights
    design = np.stack([slope, -bend], axis=1)
    normal = design.T @ (weights[:, None] * design)
    if len(slope) < 2 or np.linalg.cond(normal) > WORST:
        raise DataError(
            f"{len(slope)} points at {len(set(slope.tolist()))} distances do not tell how gold bends; "
            "measure more often"
        )
    alpha, beta = np.linalg.solve(normal, design.T @ (weights * gains))
    return Curve(form, float(alpha), float(beta))


WORST = 1e12
"""Condition of the normal equations beyond which they are not solved."""


def fit_courses(
    form: Form, courses: Sequence[Course], away: float = 0.0, resamples: int = 500, seed: int = 0
) -> Fitted:
    """One curve for several climbs, each weighing the same, with 95 % intervals that resample climbs, where
    there are several, and the prompts of each.

    Points within `away` of the start are left out; so is the start itself, where every gain is 0. DataError
    as `fit` has it.
    """
    far = [course.beyond(away) for course in courses]
    curve = _together(form, far)
    rng = np.random.default_rng(seed)
    drawn = [_together(form, _resampled(far, rng)) for _ in range(resamples)]
    values = {name: [float(getattr(one, name)) for one in drawn] for name in ("alpha", "beta", "peak")}
    points = sum(len(course.distances) for course in far)

    def estimate(name: str) -> Estimate:
        low = float(np.quantile(values[name], 0.025, method="lower"))
        high = float(np.quantile(values[name], 0.975, method="higher"))
        return Estimate(float(getattr(curve, name)), low, high, points)

    return Fitted(form, estimate("alpha"), estimate("beta"), estimate("peak"), _explained(curve, far))


class Turn(NamedTuple):
    """Where a measured curve is highest, what was gained there, and the share of that lost at the end."""

    place: int
    gained: float
    lost: float


def turn(gold: Floats) -> Turn:
    """The turn of gold along a climb, [points] from its start on; `lost` is above 1 where it ends below its
    start, and 0 where nothing was ever gained."""
    place = int(np.argmax(gold))
    gained = float(gold[place] - gold[0])
    return Turn(place, gained, float(gold[place] - gold[-1]) / gained if gained > 0 else 0.0)


def _terms(form: Form, distances: Floats) -> tuple[Floats, Floats]:
    """What alpha and beta are multiplied by."""
    if form == "best_of_n":
        return distances, distances**2
    return distances, distances * np.log(np.where(distances > 0, distances, 1.0))


def _together(form: Form, courses: Sequence[Course]) -> Curve:
    distances = np.concatenate([course.distances for course in courses])
    gains = np.concatenate([course.gains.mean(axis=1) for course in courses])
    shares = [np.full(len(course.distances), 1 / max(len(course.distances), 1)) for course in courses]
    return fit(form, distances, gains, np.concatenate(shares))


def _resampled(courses: Sequence[Course], rng: np.random.Generator) -> list[Course]:
    chosen = rng.integers(0, len(courses), size=len(courses))
    found = []
    for own in (courses[i] for i in chosen):
        prompts = rng.integers(0, own.gains.shape[1], size=own.gains.shape[1])
        found.append(Course(own.distances, own.gains[:, prompts]))
    return found


def _explained(curve: Curve, courses: Sequence[Course]) -> float:
    distances = np.concatenate([course.distances for course in courses])
    gains = np.concatenate([course.gains.mean(axis=1) for course in courses])
    left = float(((gains - curve.gain(distances)) ** 2).sum())
    spread = float(((gains - gains.mean()) ** 2).sum())
    return 1 - left / spread if spread > 0 else 0.0


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
