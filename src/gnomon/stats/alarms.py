"""Alarms over a run of policy optimisation: what a user's own figures say went wrong, beyond chance."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from scipy.special import ndtr, stdtr, stdtrit

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate
from gnomon.stats.units import Floats

FEWEST = 8
"""Prompts that a point must have to be judged: a spread of fewer is not known."""

RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Point:
    """A moment of a run: of each figure its mean over the samples of each prompt.

    Figures are `proxy` (the score that is optimised), `second` (that of a model which nothing is optimised
    against), `spread` (standard deviation of an ensemble's members), `length` (tokens), `ends` (share that
    end their turn), `distinct` (share of two-token runs that are distinct), `entropy` (nats a token), `kl`
    (nats a sequence), `agreement` (of `second` and `proxy`, as `agreement_by_prompt` has it); any may be
    missing. What a prompt is called says what is paired with what.
    """

    step: int
    figures: Mapping[str, Mapping[str, float]]

    def mean(self, figure: str) -> float:
        """Over the prompts, each weighing the same."""
        return float(np.mean(list(self.figures[figure].values())))


@dataclass(frozen=True, slots=True)
class Sign:
    """A figure now is more than `factor` times what it was by more than `least`, with `direction` 1; with -1
    it is less by as much."""

    figure: str
    direction: Literal[1, -1]
    factor: float = 1.0
    least: float = 0.0


@dataclass(frozen=True, slots=True)
class Rule:
    """An alarm is all of its signs together, against the first point or against whichever one before.

    It is silent where `unless` holds of the points so far, which is no test: it can only make an alarm rarer.
    One that stands `apart` has half of each look's part of the rate to itself.
    """

    signs: tuple[Sign, ...]
    anywhere: bool = False
    unless: Callable[[Sequence[Point]], bool] | None = None
    apart: bool = False


RISEN = 0.003
"""The chance at which a score that has not risen is taken to have: where all is learnt, none rises."""


def rests(points: Sequence[Point]) -> bool:
    """Whether nothing says, at the level `RISEN`, that the score that is optimised has risen since the point
    before: of answers that have become alike models prefer now this one, now that, and it rises no more."""
    then, now = points[-2:]
    if "proxy" not in then.figures or "proxy" not in now.figures:
        return True
    return _Test("", Sign("proxy", 1), then, now).p > RISEN


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "turn": Rule((Sign("proxy", 1), Sign("second", -1)), anywhere=True),
        "peak": Rule((Sign("agreement", -1, factor=3 / 4),), unless=rests, apart=True),
        "spread": Rule((Sign("spread", 1, factor=1.5),)),
        "longer": Rule((Sign("length", 1, factor=1.5),)),
        "shorter": Rule((Sign("length", -1, factor=1 / 1.5),)),
        "ends": Rule((Sign("ends", -1, least=0.1),)),
        "distinct": Rule((Sign("distinct", -1, factor=0.5),)),
        "entropy": Rule((Sign("entropy", -1, factor=0.5),)),
    }
)
"""What each alarm is. A turn is over-optimisation itself: the proxy rose and the second score fell since the
same moment. A peak comes before it: both models prefer the same answers far less than they did, and the proxy
still rises. All but a turn have a margin, as some of each comes with any learning."""


@dataclass(frozen=True, slots=True)
class Change:
    """A figure at the earlier and the later point, and the difference, later minus earlier, with the interval
    that holds for all comparisons of a run together."""

    figure: str
    before: float
    after: float
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Alarm:
    """What fired at the point `step` in comparison with the point `since`, and the figures it fired for.

    `level` is that of the intervals; `kl` how far the policy was then, in nats a sequence, where it is known.
    """

    name: str
    step: int
    since: int
    changes: tuple[Change, ...]
    level: float
    kl: float | None = None


def alarms(
    points: Sequence[Point], *, looks: int, rate: float = 0.05, resamples: int = RESAMPLES, seed: int = 0
) -> list[Alarm]:
    """The alarms that fire at the last of the points, in the order of `RULES`.

    It may be asked at each of the `looks` points that a run is planned to have, with all points so far: where
    nothing is amiss, the chance that any alarm ever fires is `rate` at most. Each look after the first has
    an equal part of it (Bonferroni). Within a look every comparison is a one-sided test of prompts' means,
    paired where both points asked the same prompt, and all share one critical level: the quantile, at the
    look's part, of their smallest p-value under a Gaussian multiplier bootstrap over prompts (Chernozhukov
    et al., arXiv:1212.6906), never below Bonferroni's. Alarms that stand apart and the others are two such
    families, with half of the look's part each, where there are both. An alarm with several signs fires where
    each is beyond that level: where it should not, one of them is at least there by chance. DataError where
    more points are given than looks planned.
    """
    if len(points) > looks:
        raise DataError(f"alarms: {len(points)} points, and {looks} looks were planned; plan as many")
    if len(points) < 2:
        return []
    *before, now = points
    tests = [
        _Test(name, sign, then, now)
        for name, rule in RULES.items()
        for then in (before if rule.anywhere else before[:1])
        if _comparable(rule, then, now)
        for sign in rule.signs
    ]
    families = [[test for test in tests if RULES[test.name].apart is apart] for apart in (False, True)]
    part = rate / (looks - 1) / max(1, sum(map(bool, families)))
    levels = [_critical([test.influence for test in own], part, resamples, seed) for own in families]
    fired = (_fired(name, tests, levels[rule.apart], points) for name, rule in RULES.items())
    return [alarm for alarm in fired if alarm is not None]


def judged(point: Point) -> tuple[str, ...]:
    """The alarms whose figures a point has of enough prompts."""
    return tuple(name for name, rule in RULES.items() if _comparable(rule, point, point))


def pooled(points: Sequence[Point]) -> Point:
    """Several neighbouring points as one, at the step of the last: a prompt's figure is its mean over those
    that asked it, and a figure is left out where one of them lacks it."""
    names = set.intersection(*(set(point.figures) for point in points))
    return Point(points[-1].step, {name: _merged(p.figures[name] for p in points) for name in sorted(names)})


def _merged(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for part in parts:
        for prompt, value in part.items():
            values.setdefault(prompt, []).append(value)
    return {prompt: float(np.mean(own)) for prompt, own in values.items()}


def _comparable(rule: Rule, then: Point, now: Point) -> bool:
    """Whether both points have enough prompts for every sign."""
    sizes = [len(point.figures.get(sign.figure, ())) for point in (then, now) for sign in rule.signs]
    return min(sizes) >= FEWEST


class _Test:
    """One sign between two points: by how much it is beyond its margin, and what each prompt adds to that."""

    def __init__(self, name: str, sign: Sign, then: Point, now: Point) -> None:
        self.name, self.sign, self.then = name, sign, then
        self.values = now.figures[sign.figure], then.figures[sign.figure]
        self.means = now.mean(sign.figure), then.mean(sign.figure)
        self.prompts = min(map(len, self.values))
        self.beyond = sign.direction * (self.means[0] - sign.factor * self.means[1]) - sign.least
        self.influence = self._influence(sign.factor)
        self.error = self._error(self.influence)

    @property
    def p(self) -> float:
        """The chance of so much or more at the margin, by Student's t."""
        if self.error == 0:
            return 0.0 if self.beyond > 0 else 1.0
        return float(stdtr(self._degrees(self.influence), -self.beyond / self.error))

    def change(self, critical: float) -> Change:
        """The plain difference, whatever the margin, with its interval at this one-sided level."""
        difference, influence = self.means[0] - self.means[1], self._influence(1.0)
        half = -float(stdtrit(self._degrees(influence), critical)) * self._error(influence)
        estimate = Estimate(difference, difference - half, difference + half, self.prompts)
        return Change(self.sign.figure, self.means[1], self.means[0], estimate)

    def _influence(self, factor: float) -> dict[str, float]:
        """What each prompt moves the later mean less `factor` times the earlier one by, to first order."""
        moved: dict[str, float] = {}
        for values, mean, weight in zip(self.values, self.means, (1.0, -factor), strict=True):
            for prompt, value in values.items():
                moved[prompt] = moved.get(prompt, 0.0) + weight * (value - mean) / len(values)
        return {prompt: self.sign.direction * value for prompt, value in moved.items()}

    def _error(self, influence: Mapping[str, float]) -> float:
        """The standard error: the usual one of paired or of independent prompts, or between the two."""
        squares = sum(value**2 for value in influence.values())
        error = float((squares * self.prompts / (self.prompts - 1)) ** 0.5)
        return 0.0 if error < 1e-12 * max(map(abs, self.means)) else error

    def _degrees(self, influence: Mapping[str, float]) -> float:
        """Of freedom, by Welch and Satterthwaite: prompts of both points, and of either alone, vary apart."""
        parts: dict[tuple[bool, ...], list[float]] = {}
        for prompt, value in influence.items():
            parts.setdefault(tuple(prompt in own for own in self.values), []).append(value**2)
        spread = sum(sum(own) ** 2 / max(1, len(own) - 1) for own in parts.values())
        total = sum(sum(own) for own in parts.values())
        return total**2 / spread if spread > 0 else self.prompts - 1.0


def _critical(influences: Sequence[Mapping[str, float]], rate: float, resamples: int, seed: int) -> float:
    """The level at which each of the tests is made so that, of nulls alone, one fires with chance `rate`.

    Gaussian multipliers of prompts make sums that are normal with the correlations of the influences, so
    these are drawn.
    """
    index: dict[str, int] = {}
    for influence in influences:
        for prompt in influence:
            index.setdefault(prompt, len(index))
    columns: Floats = np.zeros((len(index), len(influences)))
    for k, influence in enumerate(influences):
        columns[[index[prompt] for prompt in influence], k] = list(influence.values())
    lengths = np.linalg.norm(columns, axis=0)
    columns = columns[:, lengths > 0] / lengths[lengths > 0]
    if columns.size == 0:
        return rate / max(1, len(influences))
    least = _normal(columns.T @ columns, resamples, seed).min(axis=1)
    return max(float(ndtr(np.quantile(least, rate))), rate / len(columns.T))


def _normal(correlations: Floats, rows: int, seed: int) -> Floats:
    """Draws with these correlations, [rows, tests]."""
    values, vectors = np.linalg.eigh(correlations)
    root: Floats = vectors * np.sqrt(values.clip(min=0))
    drawn: Floats = np.random.default_rng(seed).standard_normal((rows, len(root))) @ root.T
    return drawn


def _fired(name: str, tests: Sequence[_Test], critical: float, points: Sequence[Point]) -> Alarm | None:
    """The alarm of this name since the moment that speaks most clearly, if it fires since any."""
    rule, now = RULES[name], points[-1]
    signs = len(rule.signs)
    own = [test for test in tests if test.name == name]
    groups = [own[k : k + signs] for k in range(0, len(own), signs)]
    clear = [group for group in groups if all(test.p < critical for test in group)]
    if not clear or (rule.unless is not None and rule.unless(points)):
        return None
    strongest = min(clear, key=lambda group: (group[-1].p, -group[-1].beyond))
    changes = tuple(test.change(critical) for test in strongest)
    kl = now.mean("kl") if "kl" in now.figures else None
    return Alarm(name, now.step, strongest[0].then.step, changes, 1 - 2 * critical, kl)
