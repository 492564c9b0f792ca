"""What tells people how far a run is."""

from collections.abc import Mapping
from typing import Protocol


class Reporter(Protocol):
    """Tells people how far a run is. A cached stage is started, warns as it did, and is not finished."""

    def road_started(self, expected: Mapping[str, float]) -> None:
        """The stages to come, in order, with what each takes beside the others; 0 where it is made."""

    def stage_started(self, name: str, *, cached: bool) -> None:
        """A stage begins, or is taken from the store."""

    def progress(self, name: str, done: int, total: int, note: str, eta_seconds: float | None) -> None:
        """`done` of `total` units; the estimate is None until there is a pace to go by."""

    def warning(self, text: str) -> None:
        """Something a person should know and that does not stop the run."""

    def stage_finished(self, name: str, seconds: float) -> None:
        """The stage's artefact is in the store."""


class SilentReporter:
    """Tells nobody anything."""

    def road_started(self, expected: Mapping[str, float]) -> None:
        """Nothing."""

    def stage_started(self, name: str, *, cached: bool) -> None:
        """Nothing."""

    def progress(self, name: str, done: int, total: int, note: str, eta_seconds: float | None) -> None:
        """Nothing."""

    def warning(self, text: str) -> None:
        """Nothing."""

    def stage_finished(self, name: str, seconds: float) -> None:
        """Nothing."""
