"""The tables of reward models that were measured: models as columns, each figure over its 95 % interval."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gnomon.evaluation.stock import OF_HARM, PAID
from gnomon.markup import visible
from gnomon.reports.tables import cell, metric, titled, written

FIGURES = (
    *("accuracy", "matched", "longer_wins", "shorter_wins", "length_correlation"),
    *("ece", "ece_interval", "explained"),
)


def reward_tables(summary: Mapping[str, Any]) -> list[Padding]:
    """How good each model is beside what length alone would say, and its accuracy by reason."""
    rewards: Mapping[str, Mapping[str, Any]] = summary["rewards"]
    told = summary["comparisons"]
    names = [name for name in FIGURES if any(own.get(name) is not None for own in rewards.values())]
    title = f"{told['pairs']} pairs of {told['of']}, judged by {' and '.join(told['judged_by'])}"
    tables = [_table(title, rewards, [(metric(name).title, [name]) for name in names])]
    reasons = sorted({reason for own in rewards.values() for reason in own["by_reason"]} - {""})
    if reasons:
        rows = [(reason.replace("_", " "), ["by_reason", reason]) for reason in reasons]
        tables.append(_table("Accuracy by reason", rewards, rows))
    kinds = list(dict.fromkeys(kind for own in rewards.values() for kind in own.get("stock", ())))
    if kinds:
        rows = [(kind.replace("_", " "), ["stock", kind]) for kind in kinds]
        tables.append(_table("A stock answer outscores what was written", rewards, rows))
    return [Padding(table, (1, 0, 0, 0), expand=False) for table in tables]


def reward_notes(summary: Mapping[str, Any]) -> list[str]:
    """What to know beside the tables."""
    notes = []
    for name, own in summary["rewards"].items():
        doubt = own.get("uncertainty")
        if doubt:
            where = ", ".join(
                f"{written('', doubt[kind])} where it is {kind}" for kind in ("right", "wrong") if doubt[kind]
            )
            notes.append(f"{name}: its members differ by {written('', doubt['mean'])}, {where}")
        for kind, share in own.get("stock", {}).items():
            if kind != OF_HARM and share["low"] > PAID:
                found = written("accuracy", share["value"])
                notes.append(
                    f"{name}: a stock {kind} outscores the better answer on {found} of the prompts, and a "
                    "policy will find it"
                )
    for name, value in summary["error_correlation"].items():
        notes.append(f"errors of {name} and of the first model correlate by {written('', value)}")
    dropped = summary["comparisons"]["dropped"].items()
    return notes + [f"{count} rows left out: {reason}" for reason, count in dropped]


def _table(
    title: str, rewards: Mapping[str, Mapping[str, Any]], rows: Sequence[tuple[str, Sequence[str]]]
) -> Table:
    table = titled(title)
    table.add_column("")
    for name in rewards:
        table.add_column(Text(visible(name)), justify="right", overflow="fold")
    for heading, path in rows:
        table.add_row(Text(visible(heading)), *[_cell(own, path) for own in rewards.values()])
    return table


def _cell(own: Mapping[str, Any], path: Sequence[str]) -> Text:
    found: Any = own
    for key in path:
        found = None if found is None else found.get(key)
    name = "accuracy" if len(path) > 1 else path[0]
    return cell(name, {"value": found} if isinstance(found, float) else found)
