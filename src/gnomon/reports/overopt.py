"""A study of over-optimisation for people: one HTML page that opens offline, and what a terminal shows."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gnomon.markup import visible
from gnomon.reports import figures
from gnomon.reports.render import Plot, page
from gnomon.reports.tables import titled
from gnomon.runs import write_text
from gnomon.stats.overopt import Curve

Summary = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]

METHODS = {"best_of_n": "Best of n", "rl": "RL"}
SMOOTH = 80
"""Points a fitted curve is drawn with."""


def write_overopt_page(target: Path, summary: Summary, rows: Rows) -> None:
    """Write the page, whole or not at all; StorageError where it cannot be written."""
    write_text(target, overopt_page(summary, rows))


def overopt_page(summary: Summary, rows: Rows) -> str:
    """The page as text; whatever came from people or models is escaped."""
    return page(
        "overopt.html.j2",
        summary=summary,
        page_title=f"{summary['name']}: over-optimisation",
        said=list(sentences(summary["verdict"])),
        plots=list(_plots(summary, rows)),
        methods=METHODS,
    )


def overopt_tables(summary: Summary) -> list[Padding]:
    """Each climb, and Gao's fits."""
    climbs = _table("Climbs", ("proxy", "seed", "gained", "peak", "lost", "alarm at", "forecast"))
    for row in summary["climbs"]:
        climbs.add_row(*map(Text, _climb_cells(row)))
    fits = _table("Gao's forms, with 95% intervals", ("alpha", "beta", "peak", "explained"))
    for name, fit in summary["fits"].items():
        fits.add_row(*map(Text, _fit_cells(name, fit)))
    return [Padding(table, (1, 0, 0, 0), expand=False) for table in (climbs, fits)]


def sentences(verdict: Mapping[str, Any]) -> Iterator[str]:
    """What the study showed, in words."""
    free, guarded, alarms = (verdict[name] for name in ("free", "guarded", "alarms"))
    yield (
        f"Without guards gold rose and then fell while the proxy rose in {free['over_optimised']} of "
        f"{free['of']} climbs by RL against the first proxy."
    )
    if guarded["of"]:
        yield (
            f"With an ensemble and a KL budget gold ended within 5% of its highest gain in "
            f"{guarded['close']} of {guarded['of']}."
        )
    if alarms["of"]:
        each = ", ".join(f"{name} in {count}" for name, count in alarms["each"].items())
        yield (
            f"Of all {alarms['of']} climbs that over-optimised, {alarms['in_time']} had an alarm before a "
            f"tenth of gold's gain was lost ({each}), and {alarms['freed']} where the second score was freed "
            "of what it shares with the proxy."
        )
    if (false := verdict["false_alarms"])["of"]:
        yield f"Of {false['of']} climbs by RL that did not over-optimise, {false['fired']} had an alarm."
    told = verdict["forecasts"]
    if told["made"]:
        yield (
            f"Without gold, the peak was foretold in {told['made']} of them, in {told['early']} before it, "
            f"off by {told['error']:.0%} of its distance in the median. Where forecasts were followed the "
            f"policy went without {told['missed']:.1%} of gold's highest gain, and one that went back to the "
            f"peak they told without {told['missed_back']:.1%}."
        )


def written_peak(fit: Mapping[str, Any]) -> str:
    """A fitted peak with its interval; without an end where resamples do not all bend."""
    peak = fit["peak"]
    if peak["value"] is None:
        return "none"
    high = "∞" if peak["high"] is None else f"{peak['high']:.2f}"
    return f"{peak['value']:.2f} ({peak['low']:.2f} to {high})"


def _plots(summary: Summary, rows: Rows) -> Iterator[Plot]:
    """A figure for each kind of climb, over all seeds."""
    kinds = dict.fromkeys((row["method"], row["proxy"], row["guarded"]) for row in rows)
    for method, proxy, guarded in kinds:
        own = [
            row for row in rows if (row["method"], row["proxy"], row["guarded"]) == (method, proxy, guarded)
        ]
        traces = list(_traces(own))
        name = f"{method} {proxy}{' guarded' if guarded else ''}"
        fit = summary["fits"].get(name, {})
        marks: list[tuple[float, str]] = []
        if "alpha" in fit:
            far = max(row["distance"] for row in own)
            distances = np.linspace(0, far, SMOOTH)
            curve = Curve(method, fit["alpha"]["value"], fit["beta"]["value"])
            fitted = curve.gain(distances).tolist()
            traces.append(figures.Trace("Gao's form", figures.INK, distances.tolist(), fitted, dashed=True))
        foretold = _foretold(summary, method, proxy, guarded=guarded)
        if foretold is not None:
            marks.append((foretold, "foretold"))
        key = "climb-" + re.sub(r"\W+", "-", name)
        svg = figures.climbs(key, traces, marks, "gain of gold")
        yield Plot(f"{METHODS[method]}, {proxy}{', guarded' if guarded else ''}", svg)


def _traces(rows: Rows) -> Iterator[figures.Trace]:
    """What was gained, promised and implied, a path for each seed."""
    kinds = (
        ("promised", "promised by the proxy", figures.SECOND, False),
        ("implied", "implied without gold", figures.REWARD, False),
        ("gained", "gold", figures.POLICY, True),
    )
    for key, label, colour, bold in kinds:
        for seed in dict.fromkeys(row["seed"] for row in rows):
            own = [row for row in rows if row["seed"] == seed and key in row]
            if own:
                distances = [row["distance"] for row in own]
                yield figures.Trace(label, colour, distances, [row[key] for row in own], bold=bold)


def _foretold(summary: Summary, method: str, proxy: str, *, guarded: bool) -> float | None:
    """The middle of the peaks that were foretold."""
    peaks = [
        row["forecast"]["peak"]
        for row in summary["climbs"]
        if (row["method"], row["proxy"], row["guarded"]) == (method, proxy, guarded)
        and row.get("forecast", {}).get("peak") is not None
    ]
    return float(np.median(peaks)) if peaks else None


def _climb_cells(row: Mapping[str, Any]) -> list[str]:
    alarm, forecast = row.get("alarm", {}), row.get("forecast", {})
    kind = f"{METHODS[row['method']]}{', guarded' if row['guarded'] else ''}"
    return [
        kind,
        visible(row["proxy"]),
        str(row["seed"]),
        f"{row['gained']:.3f}",
        f"{row['peak']:.2f}",
        f"{row['lost']:.0%}",
        f"{alarm['distance']:.2f}" if alarm.get("distance") is not None else "–",
        f"{forecast['peak']:.2f}" if forecast.get("peak") is not None else "–",
    ]


def _fit_cells(name: str, fit: Mapping[str, Any]) -> list[str]:
    if "missing" in fit:
        return [visible(name), "–", "–", "–", "–"]
    alpha, beta = (
        f"{fit[key]['value']:.3f} ({fit[key]['low']:.3f} to {fit[key]['high']:.3f})"
        for key in ("alpha", "beta")
    )
    return [visible(name), alpha, beta, written_peak(fit), f"{fit['explained']:.0%}"]


def _table(title: str, columns: Sequence[str]) -> Table:
    table = titled(title)
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    return table
