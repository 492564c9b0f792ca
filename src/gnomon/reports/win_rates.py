"""The tables of a win rate: judges as rows, each figure over its 95 % interval, and what to read them by."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gnomon.markup import visible
from gnomon.reports.tables import cell, metric, titled

VERDICTS = ("win_rate", "length_adjusted", "flips")
AGREEMENT = ("accuracy", "sensitivity", "specificity", "kappa", "ece")
MENDED = ("corrected", "with_people")

Judges = Mapping[str, Mapping[str, Any]]


def win_rate_tables(summary: Mapping[str, Any]) -> list[Padding]:
    """How often the first model wins by each judge, the judges' agreement with known labels, and what mends
    the first by the second or by people's votes; the latter two where there are any."""
    judges: Judges = summary["judges"]
    names = f"{summary['first']} against {summary['second']}"
    tables = [_table(f"{names} on {summary['prompts']} prompts", judges, VERDICTS, counted=True)]
    measured = {name: own["agreement"] for name, own in judges.items() if "agreement" in own}
    if measured:
        known = summary["calibration"]
        whose = f"{known['pairs']} pairs by {' and '.join(known['judged_by'])}"
        tables.append(_table(f"Agreement with {known['file']}, {whose}", measured, AGREEMENT))
    mended = {name: own for name, own in judges.items() if own.keys() & set(MENDED)}
    if mended:
        columns = [column for column in MENDED if any(column in own for own in mended.values())]
        tables.append(_table(f"{names}, mended", mended, columns))
    return [Padding(table, (1, 0, 0, 0), expand=False) for table in tables]


def win_rate_notes(summary: Mapping[str, Any]) -> Iterator[str]:
    """What to know beside the tables: kin, answers cut off or alike, and why figures are missing."""
    for name, own in summary["judges"].items():
        yield from (f"* {name}: {sentence}" for sentence in own.get("kin", ()))
    for model, count in zip((summary["first"], summary["second"]), summary["cut_off"], strict=True):
        if count:
            yield f"{count} answers of {model} were cut off at {summary['settings']['max_new_tokens']} tokens"
    if summary["identical"]:
        yield f"{summary['identical']} pairs of answers are alike, and count as ties"
    for name, own in summary["judges"].items():
        left_out = own["abstained"].items()
        yield from (f"{name} leaves out {n} of {summary['prompts']} prompts: {why}" for why, n in left_out)
        missing = {**own["missing"], **own.get("agreement", {"missing": {}})["missing"]}
        yield from (f"{name}: no {metric(column).title}, {why}" for column, why in missing.items())


def _table(title: str, judges: Judges, columns: Sequence[str], *, counted: bool = False) -> Table:
    table = titled(title)
    table.add_column("by")
    for name in columns:
        table.add_column(metric(name).title, justify="right")
    if counted:
        table.add_column("Prompts", justify="right")
    for name, own in judges.items():
        mark = " *" if own.get("kin") else ""
        cells = [cell(column, own.get(column)) for column in columns]
        table.add_row(Text(visible(name) + mark), *cells, *([str(own["judged"])] if counted else []))
    return table
