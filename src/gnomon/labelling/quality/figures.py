"""A figure as it goes into a summary: a value with its interval, or why it cannot be known."""

from collections.abc import Callable
from typing import Any

from gnomon.errors import DataError
from gnomon.stats.bootstrap import Estimate

Figure = dict[str, Any]
"""`value`, `low`, `high` and `n`; or `missing` alone, a sentence's end that says why."""


def figure(estimate: Callable[[], Estimate]) -> Figure:
    """The estimate's values, or what its DataError says is missing."""
    try:
        return estimate().to_json()
    except DataError as problem:
        return missing(str(problem).partition(": ")[2])


def missing(why: str) -> Figure:
    """A figure that cannot be known."""
    return {"missing": why}


def known(found: Figure) -> bool:
    """Whether there is a value."""
    return "missing" not in found
