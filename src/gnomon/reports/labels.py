"""What is known of a project's labels: one HTML page that opens offline, and what a terminal shows."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gnomon.markup import visible
from gnomon.reports.figures import Whisker, forest
from gnomon.reports.render import Plot, page
from gnomon.reports.tables import cell, metric, titled, written
from gnomon.runs import write_text

Summary = Mapping[str, Any]
Person = Mapping[str, Any]

AGREEMENT = (
    "raw",
    "leave_one_out",
    "alpha_nominal",
    "alpha_ordinal",
    "ac1",
    "again",
    "decided",
    "flips",
    "ceiling",
)
TRAITS = ("reliability", "informativeness", "gold", "again", "left", "position", "length", "tie_threshold")
PROBES = {"sycophancy": "sycophancy", "length": "padding", "order": "order"}
"""Kinds of probes, and what their metrics are called."""
SHORT = ("reliability", "informativeness", "gold")
"""What of an annotator fits a terminal's line."""
DRAWN = (
    ("reliability", 0.0, "Dot and line: estimate and 90% interval. At 0, a vote says nothing."),
    (
        "position",
        0.0,
        "Dot and line: estimate and 90% interval. Right of 0: drawn to the answer on the left.",
    ),
)
UNKNOWN = {
    "gold": "Accuracy on known answers",
    "groups": "Groups",
    "intervals": "How sure agreement is",
    "who_errs": "Who is right of two",
    "length_itself": "Whether people like length in itself",
    "sycophancy": "Whether people follow what the user believes",
}
"""What can be unknown besides figures."""


def write_label_page(target: Path, summary: Summary) -> None:
    """Write the page, whole or not at all; StorageError where it cannot be written."""
    write_text(target, label_page(summary))


def label_page(summary: Summary) -> str:
    """The page as text. Whatever came from people or models is escaped."""
    return page(
        "labels.html.j2",
        summary=summary,
        page_title=f"{summary['project']['title']}: how good the labels are",
        agreement=AGREEMENT,
        traits=[name for name in TRAITS if _any(summary, name)],
        people=in_order(summary["annotators"]),
        probes={kind: name for kind, name in PROBES.items() if summary["probes"][kind]["judged"]},
        plots=_plots(summary),
        unknown=list(_unknown(summary)),
    )


def label_tables(summary: Summary) -> list[Padding]:
    """Agreement, and annotators from the most to the least reliable."""
    table = _table("Agreement, with 95% intervals", "", ("", "pairs"))
    for name in AGREEMENT:
        found = summary["agreement"][name]
        if "value" in found:
            table.add_row(metric(f"label/{name}").title, cell(f"label/{name}", found), str(found["n"]))
    tables = [table] if table.row_count else []
    tables += _probe_tables(summary)
    people = in_order(summary["annotators"])
    if people:
        shown = [name for name in SHORT if _any(summary, name)]
        titles = [metric(f"label/{name}").title for name in shown]
        table = _table("Annotators", "", ("labels", *titles, "median s"))
        for name, own in people:
            cells = [cell(f"label/{key}", _there(own[key])) for key in shown]
            seconds = "–" if own["median_seconds"] is None else f"{own['median_seconds']:.1f}"
            table.add_row(Text(visible(name)), str(own["labels"]), *cells, seconds)
        tables.append(table)
    return [Padding(table, (1, 0, 0, 0), expand=False) for table in tables]


def _probe_tables(summary: Summary) -> list[Table]:
    """What sways people, where probes or repeats tell."""
    table = _table("What sways people, with 95% intervals", "", ("shift", "log-odds", "turned", "probes"))
    for kind, name in PROBES.items():
        probe = summary["probes"][kind]
        if probe["judged"]:
            turned = f"{probe['turned']['along']} with, {probe['turned']['against']} against"
            cells = (
                cell(f"label/{name}", _there(probe["shift"])),
                cell("label/slope", _there(probe["slope"])),
            )
            table.add_row(metric(f"label/{name}").title, *cells, turned, str(probe["judged"]))
    return [table, *_swayed_tables(summary)] if table.row_count else []


def _swayed_tables(summary: Summary) -> list[Table]:
    """The shift of each annotator who judged enough probes of a kind."""
    kinds = [kind for kind in PROBES if any(map(_there, summary["probes"][kind]["annotators"].values()))]
    titles = [metric(f"label/{PROBES[kind]}").title for kind in kinds]
    table = _table("What sways each annotator, with 95% intervals", "", titles)
    for name, _ in in_order(summary["annotators"]):
        own = [_there(summary["probes"][kind]["annotators"].get(name, {})) for kind in kinds]
        if any(own):
            cells = (cell(f"label/{PROBES[kind]}", found) for kind, found in zip(kinds, own, strict=True))
            table.add_row(Text(visible(name)), *cells)
    return [table] if table.row_count else []


def label_notes(summary: Summary) -> Iterator[tuple[str, str]]:
    """Each finding with what to do about it; then what cannot be known, and why."""
    yield from ((finding["finding"], finding["advice"]) for finding in summary["findings"])
    yield from ((f"not known: {what}", why) for what, why in _unknown(summary))


def decisions_note(summary: Summary) -> str:
    """How many disagreements were decided, and how often against the votes; empty where none was."""
    found = summary["adjudication"]
    if not found["decided"] and not found["open"]:
        return ""
    told = [
        f"{metric(f'label/{name}').title.lower()} {cell(f'label/{name}', found[name])}".replace("\n", " ")
        for name in ("majority", "model")
        if "value" in found[name]
    ]
    return "; ".join([f"disagreements: {found['decided']} decided, {found['open']} left open", *told])


def planted_table(summary: Summary) -> Padding:
    """What simulated annotators were planted with, beside what their votes say of them."""
    planted: Mapping[str, Person] = summary["planted"]["annotators"]
    title = "Planted, and found with 90% intervals"
    table = _table(title, "annotator", ("spams", "reliability", "found", "bits", "left", "found"))
    for name, own in in_order(summary["annotators"]):
        if name in planted:
            true = planted[name]
            table.add_row(
                Text(visible(name)),
                true["spam"] or "",
                written("label/reliability", true["reliability"]),
                cell("label/reliability", _there(own["reliability"])),
                cell("label/informativeness", _there(own["informativeness"])),
                written("label/position", true["position"]),
                cell("label/position", _there(own["position"])),
            )
    return Padding(table, (1, 0, 0, 0), expand=False)


def planted_note(summary: Summary) -> str:
    """The flips that were planted beside those that agreement speaks of."""
    planted, found = summary["planted"], _there(summary["agreement"]["flips"])
    told = f"{cell('label/flips', found)}".replace("\n", ", ") if found else "not to be found"
    return (
        f"flips: {planted['flips']:.1%} planted in those who read, beside {planted['spammers']:.0%} who do "
        f"not; {told} in everybody's agreement"
    )


def planted_sways(summary: Summary) -> Iterator[str]:
    """What probes tell beside the mean that was planted, in log-odds; nothing where there were none."""
    for kind in ("sycophancy", "length"):
        if summary["probes"][kind]["judged"]:
            found = _there(summary["probes"][kind]["slope"])
            told = f"{cell('label/slope', found)}".replace("\n", ", ") if found else "not to be found"
            yield f"{kind}: {summary['planted'][kind]:+.2f} log-odds planted in those who read; {told} in all"


def in_order(people: Mapping[str, Person]) -> list[tuple[str, Person]]:
    """Annotators by what their votes tell, the most first; those of whom it is not known last."""

    def place(row: tuple[str, Person]) -> tuple[bool, float, str]:
        bits = row[1]["informativeness"].get("value")
        return bits is None, -(bits or 0.0), row[0]

    return sorted(people.items(), key=place)


def _table(title: str, first: str, others: Sequence[str]) -> Table:
    table = titled(title)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _there(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The figure, or None where it is missing."""
    return found if "value" in found else None


def _any(summary: Summary, name: str) -> bool:
    return any("value" in own[name] for own in summary["annotators"].values())


def _plots(summary: Summary) -> list[Plot]:
    """Reliability and lean of every annotator of whom they are known."""
    people, plots = in_order(summary["annotators"]), []
    for name, reference, note in DRAWN:
        known = metric(f"label/{name}")
        rows = [
            Whisker(
                who, own[name], own[name]["low"] <= 0 <= own[name]["high"] if name == "reliability" else False
            )
            for who, own in people
            if "value" in own[name]
        ]
        if rows:
            plots.append(Plot(known.title, forest(f"labels-{name}", rows, reference, known.meaning), note))
    return plots


def _unknown(summary: Summary) -> Iterator[tuple[str, str]]:
    """What is not known, in words, and why."""
    for row in summary["unknown"]:
        what, *names = row["of"]
        if what == "reliability":
            yield "Reliability" + (f" of {', '.join(names)}" if names else ""), row["why"]
        else:
            yield ", ".join(UNKNOWN.get(key) or metric(f"label/{key}").title for key in row["of"]), row["why"]
