"""Who walks a road and who listens, for tests."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gnomon.config import Until
from gnomon.pipeline.reporter import SilentReporter
from gnomon.pipeline.road import run
from gnomon.recipe import load_recipe

RECIPES = Path(__file__).parents[2] / "recipes"


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


def journey(
    recipe: Path | None, overrides: Sequence[str], out: Path, *, until: Until | None = None
) -> tuple[dict[str, Any], Heard]:
    """The road of a recipe with overrides, walked: its summary, and what was heard on the way."""
    heard = Heard()
    return run(load_recipe(recipe, overrides), out, heard, until=until), heard


def stage_of(summary: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What the manifest says of the one artefact of a stage."""
    (found,) = [about for about in summary["manifest"].values() if about["stage"] == name]
    return found
