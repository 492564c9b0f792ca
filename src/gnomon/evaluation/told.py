"""Figures that may not exist: an estimate, or the reason why its rows do not tell it."""

from collections.abc import Callable
from typing import Any

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate


class Told:
    """Estimates as plain JSON values, and why there are none where there are none."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.missing: dict[str, str] = {}

    def add(self, name: str, estimate: Callable[[], Estimate]) -> None:
        """Add a figure; one that its rows do not tell is None, with the reason under `missing`."""
        try:
            self.figures[name] = estimate().to_json()
        except DataError as problem:
            self.figures[name], self.missing[name] = None, str(problem)

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {**self.figures, "missing": self.missing}
