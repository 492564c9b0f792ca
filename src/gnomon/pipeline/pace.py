"""Time left: of a stage by its pace of late, of a road by what its stages take beside each other."""

import math
from collections.abc import Mapping

SMOOTHING = 30.0
"""Seconds over which the pace behind an estimated time is averaged."""


class Pace:
    """Seconds a unit takes lately, from the moments at which counts were reached."""

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None
        self._units = self._seconds = 0.0

    def remaining(self, done: int, total: int, now: float) -> float | None:
        """Seconds until `total`; None before the second count, since a resumed stage starts anywhere."""
        if self._last is not None and done > self._last[0]:
            units, seconds = done - self._last[0], now - self._last[1]
            decay = math.exp(-seconds / SMOOTHING)
            self._units = self._units * decay + units
            self._seconds = self._seconds * decay + seconds
        if self._last is None or done != self._last[0]:
            self._last = (done, now)
        return self._seconds / self._units * (total - done) if self._units else None


class Ahead:
    """Seconds left of a road whose stages take about `expected` beside each other, in the order they come.

    What a stage is expected to take is only a proportion: how long the stages took that are over, and the
    one at hand at its own pace, says what it amounts to here. 0 stands for a stage that was made before.
    """

    def __init__(self, expected: Mapping[str, float]) -> None:
        self._coming = dict(expected)
        self._expected = self._taken = 0.0
        self._share = self._part = 0.0
        self._left: float | None = None
        self._whole: float | None = None

    def started(self, name: str, *, cached: bool) -> None:
        """The stage is at hand, or was made before; those in front of it are over or were left out."""
        share = self._coming.get(name, 0.0)
        while name in self._coming:
            del self._coming[next(iter(self._coming))]
        self._share, self._part = 0.0 if cached else share, 0.0
        self._left = self._whole = None

    def progress(self, done: int, total: int, left: float | None) -> None:
        """Of the stage at hand `done` of `total` units are done, and `left` seconds are left at its pace."""
        self._part, self._left = done / total, left
        if left is not None and done < total:
            self._whole = left / (1 - self._part)

    def finished(self, seconds: float) -> None:
        """The stage at hand took so long."""
        if self._share:
            self._expected, self._taken = self._expected + self._share, self._taken + seconds
        self._share, self._left, self._whole = 0.0, None, None

    def seconds(self) -> float | None:
        """What is left of the road; None before there is a pace to go by."""
        expected, taken = self._expected, self._taken
        if self._whole is not None:
            expected, taken = expected + self._share, taken + self._whole
        if not expected:
            return None
        pace = taken / expected
        here = self._share * pace * (1 - self._part) if self._left is None else self._left
        return here + pace * sum(self._coming.values())
