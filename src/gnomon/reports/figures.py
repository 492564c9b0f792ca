"""Plots as inline SVG whose colours are the page's CSS variables, so that one figure suits light and dark."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from gnomon.markup import visible

INK, MUTED, RULE, GOOD, BAD = "#000101", "#000102", "#000103", "#000104", "#000105"
SFT, POLICY, CONSTITUTIONAL, REWARD, SECOND = "#000106", "#000107", "#000108", "#000109", "#00010a"
PREFERENCE = "#00010b"
_CSS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    GOOD: "var(--good)",
    BAD: "var(--bad)",
    SFT: "var(--sft)",
    POLICY: "var(--policy)",
    CONSTITUTIONAL: "var(--constitutional)",
    PREFERENCE: "var(--preference)",
    REWARD: "var(--reward)",
    SECOND: "var(--second)",
}
"""Stand-ins matplotlib can draw with, and what the page puts in their place."""

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gnomon",
    "text.parse_math": False,
    "font.size": 8,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 2.5,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
_SMOOTH_FROM = 12


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: values against steps, in one of this module's colours."""

    label: str
    colour: str
    steps: Sequence[float]
    values: Sequence[float]


def curve(
    name: str,
    lines: Sequence[Line],
    *,
    share: bool = False,
    limit: tuple[float, str] | None = None,
    alarms: Sequence[float] = (),
) -> str:
    """Values against steps: faint as logged, bold as a running mean where there are enough steps.

    `limit` draws a dashed line at a value, with its words, and `alarms` dotted ones at steps; `share` writes
    the axis in per cent.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(3.5, 2.1), layout="constrained")
        axes = figure.subplots()
        for line in lines:
            smooth = len(line.values) >= _SMOOTH_FROM
            axes.plot(line.steps, line.values, color=line.colour, lw=1, alpha=0.35 if smooth else 1)
            if smooth:
                axes.plot(line.steps, running_mean(line.values), color=line.colour, lw=1.8)
            axes.plot([], [], color=line.colour, lw=1.8, label=line.label)
        if limit is not None:
            axes.axhline(limit[0], color=BAD, lw=1, ls=(0, (4, 3)))
            _note(axes, limit[1], (1, limit[0]), ("axes fraction", "data"), (0, 3), ha="right", color=BAD)
            axes.set_ylim(top=max(axes.get_ylim()[1], limit[0] * 1.15))
        for step in alarms:
            axes.axvline(step, color=BAD, lw=1, ls=(0, (1, 2)))
            _note(axes, "alarm", (step, 1), ("data", "axes fraction"), (-3, -8), ha="right", color=BAD)
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        if share:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
        if len(lines) > 1:
            figure.legend(loc="outside upper left", ncols=2, handlelength=1.2)
        warned = [f"alarm at step {step:g}" for step in alarms]
        return _svg(figure, name, "; ".join([*map(_told, lines), *warned]))


@dataclass(frozen=True, slots=True)
class Trace:
    """A climb, or what was fitted to several: values against the distance from the start."""

    label: str
    colour: str
    distances: Sequence[float]
    values: Sequence[float]
    dashed: bool = False
    bold: bool = False


def climbs(name: str, traces: Sequence[Trace], marks: Sequence[tuple[float, str]], axis: str) -> str:
    """Gains against distance in root nats, each label once in the legend; `marks` are words at distances."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.4, 2.9), layout="constrained")
        axes = figure.subplots()
        axes.axhline(0, color=MUTED, lw=0.8)
        named: set[str] = set()
        for trace in traces:
            (line,) = axes.plot(trace.distances, trace.values, color=trace.colour, lw=2 if trace.bold else 1)
            if trace.dashed:
                line.set_linestyle((0, (4, 2)))
            if trace.label not in named:
                line.set_label(visible(trace.label))
            named.add(trace.label)
        for distance, words in marks:
            axes.axvline(distance, color=MUTED, lw=1, ls=(0, (2, 2)))
            _note(axes, words, (distance, 1), ("data", "axes fraction"), (3, -2), va="top", color=MUTED)
        axes.set_xlabel("root of KL from the start, nats per answer")
        axes.set_ylabel(axis)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        figure.legend(loc="outside upper left", ncols=3, handlelength=1.6)
        return _svg(figure, name, "; ".join(_highest(trace) for trace in traces))


def _highest(trace: Trace) -> str:
    most = max(range(len(trace.values)), key=lambda k: trace.values[k])
    return (
        f"{visible(trace.label)}: at most {trace.values[most]:.3g} at {trace.distances[most]:.3g}, "
        f"{trace.values[-1]:.3g} at {trace.distances[-1]:.3g}"
    )


def running_mean(values: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Centred mean over about a tenth of the curve (an odd window, three at least), shorter at the ends."""
    half = max(1, len(values) // 20)
    padded = np.asarray(values, dtype=np.float64)
    return np.array([padded[max(0, i - half) : i + half + 1].mean() for i in range(len(padded))])


def _told(line: Line) -> str:
    first, last = line.values[0], line.values[-1]
    return f"{line.label}: {first:.3g} at step {line.steps[0]:g}, {last:.3g} at step {line.steps[-1]:g}"


def accuracy_by_reason(reward: Mapping[str, Any], second: Mapping[str, Any] | None) -> str:
    """Held-out accuracy overall and by reason, beside what the length of an answer alone would score."""
    rows = _accuracies(reward, second or {})
    with mpl.rc_context(_STYLE | {"axes.grid.axis": "x"}):
        figure = Figure(figsize=(4.4, 0.5 + 0.24 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for height, (_, first, other, colour) in enumerate(rows):
            axes.barh(height, first["value"], color=colour, alpha=0.3, height=0.62)
            _whisker(axes, first, height - (0.12 if other else 0), colour, "o")
            if other:
                _whisker(axes, other, height + 0.16, SECOND, "D")
        axes.axvline(0.5, color=MUTED, lw=0.8, ls=(0, (2, 2)))
        axes.set_yticks(range(len(rows)), [label for label, *_ in rows])
        axes.set(xlim=(0, 1.02), ylim=(len(rows) - 0.4, -0.6))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        return _svg(figure, "reward-accuracy", "; ".join(f"{row[0]} {row[1]['value']:.1%}" for row in rows))


def reliability(name: str, points: Sequence[Mapping[str, Any]]) -> str:
    """What happened against what was stated, a dot for each bin, larger where it holds more; the diagonal is
    where both are the same."""
    most = max(point["n"] for point in points)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(2.6, 2.4), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=(0, (2, 2)))
        stated, happened = ([point[key] for point in points] for key in ("stated", "happened"))
        axes.plot(stated, happened, color=REWARD, lw=1)
        axes.scatter(stated, happened, s=[4 + 36 * point["n"] / most for point in points], color=REWARD)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability stated", ylabel="share that was better")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        told = "; ".join(f"stated {point['stated']:.0%}, better {point['happened']:.0%}" for point in points)
        return _svg(figure, name, told)


def _accuracies(reward: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, Any, Any, str]]:
    """Label, estimate, the second model's estimate and colour of each bar, from the top."""
    rows = [("all held-out pairs", reward.get("accuracy"), second.get("accuracy"), REWARD)]
    others, reasons = second.get("by_reason", {}), reward.get("by_reason", {})
    rows += [
        (visible(reason).replace("_", " "), reasons[reason], others.get(reason), REWARD)
        for reason in sorted(reasons, key=lambda reason: -reasons[reason]["value"])
    ]
    rows += [
        ("“longer wins”", reward.get("longer_wins"), None, MUTED),
        ("“shorter wins”", reward.get("shorter_wins"), None, MUTED),
    ]
    return [row for row in rows if row[1] is not None]


def _whisker(axes: Any, estimate: Mapping[str, Any], height: float, colour: str, marker: str) -> None:
    if estimate.get("low") is not None and estimate.get("high") is not None:
        axes.plot([estimate["low"], estimate["high"]], [height, height], color=colour, lw=1.4)
    axes.plot([estimate["value"]], [height], marker, color=colour, ms=3.6)


def gate(measured: Mapping[str, Any]) -> str:
    """The accuracy a labeller was measured at, against the accuracy and lower bound it needs."""
    accuracy, passed = measured["accuracy"], bool(measured.get("passed"))
    required, lower = measured.get("required", 0.6), measured.get("lower_required", 0.5)
    with mpl.rc_context(_STYLE | {"axes.grid": False, "axes.spines.left": False}):
        figure = Figure(figsize=(4.4, 1.15), layout="constrained")
        axes = figure.subplots()
        axes.axvspan(required, 1, color=GOOD, alpha=0.12, lw=0)
        top = ("data", "axes fraction")
        _note(axes, f"accuracy needed {required:.0%}", (required, 1), top, (4, -2), va="top", color=MUTED)
        _note(axes, f"lower bound {lower:.0%}", (lower, 1), top, (-4, -2), ha="right", va="top", color=MUTED)
        for place in (required, lower):
            axes.axvline(place, color=MUTED, lw=1, ls=(0, (3, 2)))
        _whisker(axes, accuracy, 0, GOOD if passed else BAD, "o")
        place = (accuracy["value"], 0)
        _note(axes, f"{accuracy['value']:.1%}", place, "data", (0, 5), ha="center", color=INK)
        left = min(0.3, lower - 0.1, accuracy.get("low") or 1.0)
        axes.set(xlim=(max(0.0, left), 1.0), ylim=(-0.6, 1.5), yticks=[])
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        verdict = "the gate opened" if passed else "the gate stayed shut"
        told = f"measured {accuracy['value']:.1%}, needed {required:.0%}"
        if "flips_allowed" in measured:
            flips, allowed = measured["flip_rate"], measured["flips_allowed"]
            told += f"; {flips:.1%} of the choices change with the order, allowed {allowed:.0%}"
        return _svg(figure, "gate", f"{told}: {verdict}")


@dataclass(frozen=True, slots=True)
class Point:
    """A model on a plane: both its estimates, in one of this module's colours."""

    label: str
    colour: str
    across: Mapping[str, Any]
    up: Mapping[str, Any]


def plane(name: str, points: Sequence[Point], axes_of: tuple[str, str]) -> str:
    """Shares against shares with the bars of both intervals, joined in the order given."""
    with mpl.rc_context(_STYLE | {"axes.grid.axis": "both"}):
        figure = Figure(figsize=(3.5, 3.2), layout="constrained")
        axes = figure.subplots()
        middle = [[point.across["value"], point.up["value"]] for point in points]
        axes.plot(*zip(*middle, strict=True), color=RULE, lw=1, ls=(0, (2, 2)))
        for point, (across, up) in zip(points, middle, strict=True):
            wide, high = (_edges(own) for own in (point.across, point.up))
            axes.plot(wide, [up] * len(wide), color=point.colour, lw=1.4)
            axes.plot([across] * len(high), high, color=point.colour, lw=1.4)
            axes.plot([across], [up], "o", color=point.colour, ms=4)
            _note(axes, visible(point.label), (across, up), "data", (4, 4), color=point.colour)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=axes_of[0], ylabel=axes_of[1])
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        told = "; ".join(
            f"{visible(point.label)}: {axes_of[0]} {across:.1%}, {axes_of[1]} {up:.1%}"
            for point, (across, up) in zip(points, middle, strict=True)
        )
        return _svg(figure, name, told)


def _edges(estimate: Mapping[str, Any]) -> list[float]:
    """Both bounds of an interval; nothing where there is none."""
    bounds = (estimate.get("low"), estimate.get("high"))
    return [] if None in bounds else [float(bound) for bound in bounds if bound is not None]


@dataclass(frozen=True, slots=True)
class Whisker:
    """One row of a forest: a label and its estimate, marked where it stands out."""

    label: str
    estimate: Mapping[str, Any]
    marked: bool = False


def forest(name: str, rows: Sequence[Whisker], reference: float, axis: str) -> str:
    """Estimates with their intervals, one a row from the top, beside a dashed line at `reference`."""
    with mpl.rc_context(_STYLE | {"axes.grid.axis": "x"}):
        figure = Figure(figsize=(4.4, 0.7 + 0.2 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for height, row in enumerate(rows):
            _whisker(axes, row.estimate, height, BAD if row.marked else REWARD, "o")
        axes.axvline(reference, color=MUTED, lw=0.8, ls=(0, (2, 2)))
        axes.set_yticks(range(len(rows)), [visible(row.label) for row in rows])
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel=axis)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        return _svg(
            figure, name, "; ".join(f"{visible(row.label)} {row.estimate['value']:.2f}" for row in rows)
        )


def _note(axes: Any, words: str, place: tuple[float, float], coords: Any, shift: Any, **style: Any) -> None:
    axes.annotate(words, place, shift, coords, "offset points", **style)


def _svg(figure: Figure, name: str, told: str) -> str:
    """Inline SVG: no metadata, no sizes, no style of its own; ids carry its name, colours are CSS."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)[0]
    body = text[text.index("</metadata>") + len("</metadata>") : text.rindex("</svg>")]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.S)
    body = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", body)
    body = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{name}-", body).replace("xlink:href", "href")
    for stand_in, css in _CSS.items():
        body = body.replace(stand_in, css)
    body = re.sub(r" *\n *", " ", body)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(told)}">{body}</svg>'
