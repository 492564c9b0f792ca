"""Looks at a run of policy optimisation while it goes on: at a few moments, for what went wrong."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from gnomon.settings.guards import GuardSettings
from gnomon.settings.policy import PolicySettings
from gnomon.stats.alarms import Alarm, Change, Point, alarms, judged, pooled
from gnomon.stats.digits import decimals

LOOKS = 12
"""Looks at one run: the more there are, the more each alarm has to prove."""
POINTS = 24
"""Looks at evaluation points, which ask the same prompts: of few samples they tell more, and sooner."""


@dataclass(frozen=True, slots=True)
class Told:
    """How an alarm is put into words: what it means, and what to do."""

    means: str
    advice: str


MEANINGS: Mapping[str, Told] = MappingProxyType(
    {
        "turn": Told(
            "over-optimisation",
            "take an earlier policy (policy.guards.keep=best), or lower policy.kl_budget",
        ),
        "peak": Told(
            "what the score stands for is about at its best",
            "see whether to go on: policy.guards.stop=[peak], or lower policy.kl_budget",
        ),
        "spread": Told(
            "the ensemble is of several minds",
            "answers leave what comparisons were about; take doubt off the score (policy.ensemble.combine)",
        ),
        "longer": Told(
            "answers grow longer",
            "see whether length is what pays: policy.length_neutral, policy.length_penalty",
        ),
        "shorter": Told("answers grow shorter", "see whether length is what pays: policy.length_neutral"),
        "ends": Told("fewer answers end", "raise policy.missing_end or policy.max_new_tokens"),
        "distinct": Told(
            "answers to one prompt become one",
            "raise policy.beta, or take fewer policy.steps at a lower rate",
        ),
        "entropy": Told(
            "the policy's entropy collapses", "raise policy.beta, or take fewer policy.steps at a lower rate"
        ),
    }
)

FIGURES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "proxy": ("the score that is optimised", 2),
        "second": ("the second reward model's score", 2),
        "agreement": ("the correlation of both models' scores of a prompt's answers", 2),
        "spread": ("the spread of the members' scores", 2),
        "length": ("tokens an answer", 1),
        "ends": ("the share of answers that end", 2),
        "distinct": ("the share of distinct two-token runs", 2),
        "entropy": ("the entropy in nats a token", 2),
    }
)
"""What each figure is called, and the digits it is told with."""


class Lookout:
    """Pools the `planned` points of a run into so many looks at most, looks at each for alarms, and tells of
    each alarm once. Points after those are not looked at."""

    def __init__(self, planned: int, settings: GuardSettings, seed: int, most: int = LOOKS) -> None:
        self.planned, self.settings, self.seed = planned, settings, seed
        self.window = math.ceil(planned / most)
        self.looks = math.ceil(planned / self.window)
        self.count = 0
        self.seen: list[Point] = []
        self.waiting: list[Point] = []
        self.fired: list[Alarm] = []
        self.told: Callable[[str], None] = lambda text: None
        """Is told of each alarm as it fires."""

    @classmethod
    def of(cls, settings: PolicySettings, seed: int) -> "Lookout | None":
        """For a run with these settings, whose points are its batches, or its evaluation points where it has
        any; None where alarms are off."""
        guards, steps = settings.guards, settings.steps
        if not guards.alarms:
            return None
        if guards.every is None:
            return cls(steps, guards, seed)
        return cls(1 + math.ceil(steps / guards.every), guards, seed, POINTS)

    @property
    def stop(self) -> str | None:
        """What to stop the run for: the first alarm that the settings say ends it."""
        ending = [alarm for alarm in self.fired if alarm.name in self.settings.stop]
        return f"alarm: {sentence(ending[0])}" if ending else None

    def see(self, point: Point) -> dict[str, float]:
        """What is logged of the look that this point completes, if any: `alarm/NAME`, 1 where it fires."""
        if self.count == self.planned:
            return {}
        self.count += 1
        self.waiting.append(point)
        if len(self.waiting) < self.window and self.count < self.planned:
            return {}
        self.seen.append(pooled(self.waiting))
        self.waiting = []
        now, new = self._look()
        for alarm in new:
            self.told(sentence(alarm))
        return {f"alarm/{name}": float(name in now) for name in judged(self.seen[-1])}

    def state_dict(self) -> dict[str, Any]:
        """The points; alarms follow from them."""
        return {"count": self.count, "seen": _plain(self.seen), "waiting": _plain(self.waiting)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state_dict` was written; what was told then is not told again."""
        self.count = int(state["count"])
        self.waiting = [Point(*each) for each in state["waiting"]]
        for each in state["seen"]:
            self.seen.append(Point(*each))
            self._look()

    def _look(self) -> tuple[set[str], list[Alarm]]:
        """The names of the alarms that fire at the newest point, and those that had not fired before."""
        now = alarms(self.seen, looks=self.looks, rate=self.settings.false_alarms, seed=self.seed)
        before = {alarm.name for alarm in self.fired}
        new = [alarm for alarm in now if alarm.name not in before]
        self.fired += new
        return {alarm.name for alarm in now}, new


def sentence(alarm: Alarm) -> str:
    """What an alarm is about, the evidence with its intervals, and what can be done."""
    about = MEANINGS[alarm.name]
    evidence = ", ".join(_moved(change) for change in alarm.changes)
    far = "" if alarm.kl is None else f", at {alarm.kl:.1f} nats a sequence"
    return f"{about.means}: from step {alarm.since} to {alarm.step} {evidence}{far}; {about.advice}"


def as_json(alarm: Alarm) -> dict[str, Any]:
    """The alarm as plain JSON values, in words too."""
    changes = [{**asdict(change), "title": FIGURES[change.figure][0]} for change in alarm.changes]
    return {**asdict(alarm), "text": sentence(alarm), "means": MEANINGS[alarm.name].means, "changes": changes}


def _moved(change: Change) -> str:
    (name, usual), gap = FIGURES[change.figure], change.estimate
    by, verb = (1, "rose") if gap.value > 0 else (-1, "fell")
    least, most = sorted((by * gap.low, by * gap.high))
    digits = decimals((gap.value, gap.low, gap.high), usual)
    return (
        f"{name} {verb} from {change.before:.{digits}f} to {change.after:.{digits}f} "
        f"(by {least:.{digits}f} to {most:.{digits}f})"
    )


def _plain(points: Sequence[Point]) -> list[list[Any]]:
    return [[point.step, {name: dict(own) for name, own in point.figures.items()}] for point in points]
