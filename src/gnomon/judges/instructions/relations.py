"""How a count stands to what was asked for."""

from typing import Literal

Relation = Literal["less than", "at least"]
"""The two relations of the published rows."""


def holds(count: int, relation: Relation, threshold: int) -> bool:
    """Whether the count is less than the threshold, or at least the threshold."""
    return count < threshold if relation == "less than" else count >= threshold
