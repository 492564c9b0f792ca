"""Rows as an export has them, for the tests of what is made of them."""

from typing import Any


def row(
    item: str,
    annotator: str,
    preferred: int | None,
    *,
    strength: int = 2,
    outcome: str | None = None,
    expected: int | None = None,
    again: bool = False,
    left: int = 0,
    seconds: float | None = None,
    prompt: str | None = None,
    answers: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """One label: the place that is preferred, or None for a tie (or another `outcome`); `left` stood left."""
    texts = answers or (f"{item}, first", f"{item}, second")
    return {
        "item": item,
        "annotator": annotator,
        "outcome": outcome or ("tie" if preferred is None else "prefer"),
        "preferred": preferred,
        "strength": None if preferred is None else strength,
        "purpose": "ordinary" if expected is None else "gold",
        "expected": expected,
        "pass_number": 2 if again else 1,
        "shown_order": [left, 1 - left],
        "active_ms": None if seconds is None else round(1000 * seconds),
        "at": "2026-01-02T03:04:05+00:00",
        "label_source": "vote",
        "decided": False,
        "ranks": None,
        "probe": None,
        "prompt": [{"role": "user", "content": prompt or f"Question {item}?"}],
        "responses": [[{"role": "assistant", "content": text}] for text in texts],
    }


def decision(item: str, preferred: int | None, outcome: str | None = None) -> dict[str, Any]:
    """What somebody decided of an item who saw its votes."""
    return row(item, "judge", preferred, outcome=outcome) | {"pass_number": 0, "label_source": "adjudicated"}


def ranking(item: str, annotator: str, ranks: list[int], *, again: bool = False) -> dict[str, Any]:
    """One person's order of so many answers, by place."""
    values = row(item, annotator, None, outcome="ranked", again=again)
    answers = [[{"role": "assistant", "content": f"{item}, {place}"}] for place in range(len(ranks))]
    return values | {"ranks": ranks, "responses": answers, "shown_order": list(range(len(ranks)))}


def five() -> list[dict[str, Any]]:
    """Two people and five labels, of two pairs that both judged and one that one did."""
    return [
        row("one", "ann", 0),
        row("one", "bob", 0),
        row("two", "ann", 1),
        row("two", "bob", 0),
        row("three", "ann", None),
    ]
