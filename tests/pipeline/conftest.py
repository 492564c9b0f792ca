"""Rows as the labelling application exports them, and a model taught the constitutional road."""

from collections.abc import Callable
from typing import Any

import pytest
from taught import overrides

Row = dict[str, Any]


@pytest.fixture
def row() -> Callable[..., Row]:
    """Makes the row of a label from its item, annotator, outcome and preferred place."""
    return exported


def exported(item: str, annotator: str, outcome: str, preferred: int | None = None, **more: Any) -> Row:
    """A row of an export whose first response was shown first."""
    values = {
        "item": item,
        "annotator": annotator,
        "outcome": outcome,
        "purpose": "ordinary" if more.get("expected") is None else "gold",
        "preferred": preferred,
        "strength": None if preferred is None else 1,
        "pass_number": 1,
        "expected": None,
        "shown_order": [0, 1],
        "source": "person",
        "label_source": "vote",
        "ranks": None,
        "prompt": [{"role": "user", "content": f"Question {item}?"}],
        "responses": [
            [{"role": "assistant", "content": f"{item} one"}],
            [{"role": "assistant", "content": f"{item} two"}],
        ],
    }
    return values | more


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The overrides of a recipe for a small model that knows how to criticise, revise and judge."""
    return overrides(tmp_path_factory.mktemp("taught"))
