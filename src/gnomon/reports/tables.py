"""How each metric is called and written, and the tables a terminal shows."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gnomon.markup import visible

Summary = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's title, how its numbers are written, and what it means in a few words."""

    title: str
    kind: Literal["share", "signed", "number"] = "number"
    meaning: str = ""
    unit: str = ""
    digits: int = 2


METRICS: dict[str, Metric] = {
    "ends_turn": Metric("Ends its turn", "share", "stops by itself before the token limit"),
    "answers": Metric("Answers", "share", "answers the prompt and does not continue it"),
    "checks": Metric("Passes all checks", "share", "prompts whose every verifiable check passes"),
    "checks_each": Metric("Single checks passed", "share", "of all verifiable checks"),
    "reward/second": Metric("Second reward", "signed", "score from the reward model that was not optimised"),
    "kl/reference": Metric("KL from reference", "number", "distance moved, nats per answer", "nats"),
    "length/tokens": Metric("Length", "number", "tokens per answer", "tokens", digits=1),
    "repetition": Metric("Repetition", "share", "of four-word runs that occur before in the answer"),
    "role_leak": Metric("Role leak", "share", "answers that speak for the user"),
}
VERDICT = ("ends_turn", "answers", "checks", "reward/second", "kl/reference")

MODELS = {
    "base": "Base",
    "sft": "Instruction-tuned",
    "policy": "Optimised",
    "constitutional": "Constitutional",
}
_TERMINAL_COLOURS = {
    "base": "grey62",
    "sft": "dodger_blue1",
    "policy": "dark_orange",
    "constitutional": "cyan",
}


def metric(name: str) -> Metric:
    """What is known of a metric; an unknown one is called by its name."""
    return METRICS.get(name, Metric(name))


def title(model: str) -> str:
    """The name a reader sees for a model."""
    return MODELS.get(model, model)


def ordered(models: Iterable[str]) -> list[str]:
    """Model names in the order of the road; unknown ones last, by name."""
    road = list(MODELS)
    return sorted(models, key=lambda name: (road.index(name) if name in MODELS else len(road), name))


def metric_names(summary: Summary) -> list[str]:
    """Every metric of any model, the known ones first in their fixed order."""
    found = {name for values in summary.get("models", {}).values() for name in values}
    return [name for name in METRICS if name in found] + sorted(found - set(METRICS))


def written(name: str, value: float | None) -> str:
    """A number as its metric is written: shares in per cent, signed scores with their sign."""
    known = metric(name)
    if value is None or not math.isfinite(value):
        return "–"
    if known.kind == "share":
        return f"{_plain(100 * value, 1)}%"
    return _plain(value, known.digits, sign=known.kind == "signed")


def difference(name: str, value: float | None) -> str:
    """A difference with its sign; shares differ by percentage points."""
    if value is None or not math.isfinite(value):
        return "–"
    if metric(name).kind == "share":
        return f"{_plain(100 * value, 1, sign=True)} pts"
    return _plain(value, metric(name).digits, sign=True)


def interval(name: str, estimate: Mapping[str, Any]) -> str:
    """The bounds of an estimate, `88.9 to 96.2`, or nothing where it has none."""
    return _bounds(name, estimate, written)


def difference_interval(name: str, estimate: Mapping[str, Any]) -> str:
    """The bounds of a difference, `+1.2 to +4.5`, or nothing where it has none."""
    return _bounds(name, estimate, difference)


def _bounds(name: str, estimate: Mapping[str, Any], write: Any) -> str:
    low, high = estimate.get("low"), estimate.get("high")
    if low is None or high is None:
        return ""
    bounds = [write(name, bound).removesuffix("%").removesuffix(" pts") for bound in (low, high)]
    return " to ".join(bounds)


def _plain(value: float, digits: int, *, sign: bool = False) -> str:
    text = f"{value:+,.{digits}f}" if sign else f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def summary_table(summary: Summary) -> Padding:
    """Models as columns, metrics as rows, each figure over its 95 % interval; four fit 80 characters."""
    models = ordered(summary.get("models", {}))
    table = Table(
        title="On held-out prompts, with 95% intervals",
        title_style="bold",
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("")
    for model in models:
        # in one line it would be wider than its figures
        heading = visible(title(model)).replace("Instruction-tuned", "Instruction-\ntuned")
        table.add_column(
            Text(heading, _TERMINAL_COLOURS.get(model, "magenta")),
            justify="right",
            overflow="fold",
        )
    for name in metric_names(summary):
        cells = [_cell(name, summary["models"][model].get(name)) for model in models]
        table.add_row(Text(_row_title(name)), *cells)
    return Padding(table, (1, 0), expand=False)


def _row_title(name: str) -> str:
    known = metric(name)
    return f"{known.title} ({known.unit})" if known.unit else visible(known.title)


def _cell(name: str, estimate: Mapping[str, Any] | None) -> Text:
    if estimate is None:
        return Text("–", "dim")
    bounds = interval(name, estimate)
    return Text(written(name, estimate["value"])).append(f"\n{bounds}" if bounds else "", "dim")


def bread_panel(summary: Summary) -> Panel:
    """The bread question with every model's answer under its name."""
    bread = summary.get("bread", {})
    parts: list[Text | Padding] = []
    for model in ordered(bread.get("answers", {})):
        parts.append(Text(visible(title(model)), f"bold {_TERMINAL_COLOURS.get(model, 'magenta')}"))
        answer = visible(bread["answers"][model]).strip()
        parts.append(Padding(Text(answer) if answer else Text("(nothing)", "dim"), (0, 0, 1, 2)))
    question = Text(visible(bread.get("prompt", "")), "bold")
    return Panel(Group(*parts), title=question, title_align="left", padding=(1, 2, 0, 2))
