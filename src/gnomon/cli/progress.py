"""Reporters: bars on a terminal, a line now and then elsewhere; both on standard error."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from gnomon.cli.console import FIRST, err, warn
from gnomon.markup import visible
from gnomon.pipeline.pace import Ahead, Pace
from gnomon.pipeline.reporter import Reporter, SilentReporter
from gnomon.reports.view import duration

QUIET = 5.0
"""Seconds between two lines of one stage."""


class LineReporter:
    """Plain lines with the time of day, for logs and pipes."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._told: dict[str, tuple[float, int]] = {}
        self._ahead = Ahead({})

    def road_started(self, expected: Mapping[str, float]) -> None:
        """Tell what is left of the road with every line from here on."""
        self._ahead = Ahead(expected)

    def stage_started(self, name: str, *, cached: bool) -> None:
        """Say that it begins, or was made before."""
        self._told[name] = (self._clock(), -1)
        self._ahead.started(name, cached=cached)
        said = f"{name}: made before, taken from the store" if cached else f"{name}: started"
        self._line(", ".join([said, *([] if cached else _road_left(self._ahead))]))

    def progress(self, name: str, done: int, total: int, note: str, eta_seconds: float | None) -> None:
        """Say how far it is, unless it was said a moment ago; the last unit is always told."""
        now = self._clock()
        self._ahead.progress(done, total, eta_seconds)
        when, last = self._told.get(name, (-QUIET, -1))
        if last == done or (now - when < QUIET and done != total):
            return
        self._told[name] = (now, done)
        parts = [
            f"{name}: {done}/{total}",
            *([note] if note else []),
            _left(0 if done == total else eta_seconds),
            *_road_left(self._ahead),
        ]
        self._line(", ".join(parts))

    def warning(self, text: str) -> None:
        """Say it at once."""
        self._line(f"warning: {text}", "yellow")

    def stage_finished(self, name: str, seconds: float) -> None:
        """Say how long it took."""
        self._ahead.finished(seconds)
        self._line(f"{name}: finished in {duration(seconds)}")

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(f"{datetime.now():%H:%M:%S} {visible(text)}", style), soft_wrap=True)


class BarReporter:
    """Two bars: the stages of the whole road, and the stage at hand. A stage that is over becomes a line."""

    def __init__(self, bars: Progress, stages: int) -> None:
        self._bars = bars
        self._road = bars.add_task("stages", total=stages, note="")
        self._stage = bars.add_task("", total=None, note="", visible=False)
        self._ahead = Ahead({})

    def road_started(self, expected: Mapping[str, float]) -> None:
        """Count these stages, and tell beside their count what is left of the road."""
        self._ahead = Ahead(expected)
        (road,) = (task for task in self._bars.tasks if task.id == self._road)
        self._bars.update(self._road, total=road.completed + len(expected))

    def stage_started(self, name: str, *, cached: bool) -> None:
        """A fresh bar for it, or a line where it was made before."""
        self._ahead.started(name, cached=cached)
        self._tell_road()
        if cached:
            self._over(f"✓ {name} (made before)")
            return
        self._bars.remove_task(self._stage)
        self._stage = self._bars.add_task(visible(name), total=None, note="")

    def progress(self, name: str, done: int, total: int, note: str, eta_seconds: float | None) -> None:
        """Move its bar."""
        self._ahead.progress(done, total, eta_seconds)
        self._tell_road()
        said = ", ".join([*([note] if note else []), _left(0 if done == total else eta_seconds)])
        self._bars.update(self._stage, completed=done, total=total, note=visible(said))

    def warning(self, text: str) -> None:
        """Say it above the bars."""
        warn(text)

    def stage_finished(self, name: str, seconds: float) -> None:
        """Leave a line with its time."""
        self._ahead.finished(seconds)
        self._over(f"✓ {name} {duration(seconds)}")

    def _tell_road(self) -> None:
        self._bars.update(self._road, note=", ".join(_road_left(self._ahead)))

    def _over(self, line: str) -> None:
        self._bars.console.print(Text(visible(line), "green"))
        self._bars.update(self._stage, visible=False)
        self._bars.advance(self._road)


@contextmanager
def reporting(stages: int = 1) -> Iterator[Reporter]:
    """A reporter for this terminal; `stages` is how many there will be, unless a road says it."""
    if not FIRST:
        yield SilentReporter()
        return
    if not err.is_interactive:
        yield LineReporter(err)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=err, transient=True) as bars:
        yield BarReporter(bars, stages)


@contextmanager
def counting(reporter: Reporter, name: str) -> Iterator[Callable[[int, int], None]]:
    """A stage outside the pipeline: give what comes back the count that is done and the total."""
    pace, begun = Pace(), time.monotonic()

    def tell(done: int, total: int) -> None:
        reporter.progress(name, done, total, "", pace.remaining(done, total, time.monotonic()))

    reporter.stage_started(name, cached=False)
    yield tell
    reporter.stage_finished(name, time.monotonic() - begun)


def _left(seconds: float | None) -> str:
    if seconds is None:
        return "time left not known yet"
    return f"about {duration(seconds)} left" if seconds else "0 s left"


def _road_left(ahead: Ahead) -> list[str]:
    """What to add about the whole road; nothing where there is no pace to go by, or no road."""
    seconds = ahead.seconds()
    return [] if seconds is None else [f"whole road: {_left(seconds)}"]
