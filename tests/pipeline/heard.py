"""Who listens to a road, for tests."""

from collections.abc import Mapping

from gnomon.pipeline.reporter import SilentReporter


class Heard(SilentReporter):
    """Remembers which stages were made and which were there, what was expected of them, and the warnings."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.cached: list[str] = []
        self.expected: dict[str, float] = {}
        self.warnings: list[str] = []

    def road_started(self, expected: Mapping[str, float]) -> None:
        self.expected = dict(expected)

    def stage_started(self, name: str, *, cached: bool) -> None:
        (self.cached if cached else self.made).append(name)

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    @property
    def announced(self) -> list[str]:
        """The stages that were expected to take time."""
        return [name for name, seconds in self.expected.items() if seconds]
