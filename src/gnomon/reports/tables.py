"""How each metric is called and written, and the tables a terminal shows."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gnomon.markup import visible
from gnomon.stats.digits import decimals

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
    "length/words": Metric("Length", "number", "words per answer", "words", digits=1),
    "checks_second": Metric("Later turns' checks", "share", "dialogues whose later turns pass all checks"),
    "over_refusal": Metric("Over-refusal", "share", "safe prompts that are refused"),
    "answered_safe": Metric("Safe prompts answered", "share", "safe prompts that are answered at all"),
    "compliance": Metric("Compliance", "share", "unsafe prompts that are answered, not refused"),
    "knows": Metric("Knows", "share", "facts for which the right answer is the likelier"),
    "flips_sure": Metric("Flips when doubted", "share", 'known facts given up at "Are you sure?"'),
    "flips_opinion": Metric("Flips to a leaning", "share", "known facts given up for the user's guess"),
    "flips_belief": Metric("Flips to a belief", "share", "known facts given up for the user's firm belief"),
    "pull_sure": Metric("Pull of doubt", "signed", "towards the wrong answer when doubted", "nats"),
    "pull_opinion": Metric("Pull of a leaning", "signed", "towards the user's wrong guess", "nats"),
    "pull_belief": Metric("Pull of a belief", "signed", "towards the user's wrong belief", "nats"),
    "pull_own": Metric("Praise for own work", "signed", "log-odds of praise against work found", "nats"),
    "pull_disliked": Metric("Praise for disliked work", "signed", "log-odds, against work found", "nats"),
    "admits": Metric("Admits not knowing", "share", "unanswerable questions that are not answered"),
    "over_abstains": Metric("Abstains in vain", "share", "answerable questions said to be unknown"),
    "twin_right": Metric("Answerable twin right", "share", "look-alike questions that are answered rightly"),
    "accuracy": Metric("Accuracy", "share", "questions whose likeliest choice is right"),
    "confidence": Metric("Confidence", "share", "probability of the likeliest choice"),
    "probability": Metric("Probability of the right", "share", "that the right choice gets"),
    "longer_wins": Metric("Longer wins", "share", "what always taking the longer answer gets"),
    "shorter_wins": Metric("Shorter wins", "share", "what always taking the shorter answer gets"),
    "matched": Metric(
        "At equal length", "share", "accuracy where answers differ by a tenth in words or less"
    ),
    "length_correlation": Metric("Score and length", "signed", "correlation of score and words"),
    "explained": Metric("Agreed on", "share", "of all variance of scores; the rest is within answers"),
    "win_rate": Metric("Wins", "share", "of the first model's answers, ties half"),
    "length_adjusted": Metric("Length-adjusted", "share", "wins, read at equal length in characters"),
    "flips": Metric("Flips", "share", "verdicts that the order of the answers turns"),
    "sensitivity": Metric("First better", "share", "known pairs whose first answer is better: it says so"),
    "specificity": Metric("Second better", "share", "known pairs whose second answer is better: it says so"),
    "kappa": Metric("Kappa", "number", "agreement beyond chance", digits=2),
    "corrected": Metric("Wins, corrected", "share", "by the errors on known pairs (Rogan and Gladen)"),
    "with_people": Metric("Wins, with people", "share", "as votes on some prompts anchor a judge of all"),
    "ece": Metric("Calibration error", "number", "expected, of the likeliest choice's probability", digits=3),
    "ece_interval": Metric("The same less chance's", "number", "and its interval, from 0", digits=3),
    "behaviour": Metric("Matches the behaviour", "share", "probability of the answer that shows it"),
    "prompt_strict": Metric("Prompts, strict", "share", "answers that follow every instruction"),
    "prompt_loose": Metric("Prompts, loose", "share", "the same, with lines around or asterisks taken off"),
    "instruction_strict": Metric("Instructions, strict", "share", "single instructions that are followed"),
    "instruction_loose": Metric("Instructions, loose", "share", "the same, with lines or asterisks off"),
    "practised_strict": Metric("Practised kinds, strict", "share", "of 17 kinds that can be practised"),
    "practised_loose": Metric("Practised kinds, loose", "share", "the same, with lines or asterisks off"),
    "held_out_strict": Metric("Held-out kinds, strict", "share", "of 8 kinds that no prompt practises"),
    "held_out_loose": Metric("Held-out kinds, loose", "share", "the same, with lines or asterisks off"),
    "loss": Metric("Loss on text", "number", "of passages nothing was trained on", "nats a token", digits=3),
    "bits_per_byte": Metric("Bits a byte", "number", "of the same passages", digits=3),
    "label/raw": Metric(
        "Raw agreement", "share", "of two people's votes on a pair: the same answer, or both a tie"
    ),
    "label/leave_one_out": Metric(
        "With the others' majority", "share", "votes equal to what most others say"
    ),
    "label/alpha_nominal": Metric(
        "Alpha, nominal", "number", "Krippendorff's: 0 is chance, 1 always the same"
    ),
    "label/alpha_ordinal": Metric("Alpha, ordinal", "number", "the same on the scale of strength"),
    "label/ac1": Metric("Gwet's AC1", "number", "the same, sound where one answer prevails"),
    "label/decided": Metric("On decided pairs", "share", "raw agreement where neither says tie"),
    "label/flips": Metric("Flip rate", "share", "of votes turned at random that would explain it"),
    "label/ceiling": Metric("Ceiling of accuracy", "share", "that any model has on these labels"),
    "label/again": Metric("With oneself", "share", "the same said of a pair that came again"),
    "label/triads": Metric("Circles", "share", "of three answers all compared: a > b > c > a"),
    "label/reliability": Metric("Reliability", "signed", "log-odds per unit of quality; 0 says nothing"),
    "label/informativeness": Metric("Bits a vote", "number", "what a vote tells of which answer is better"),
    "label/position": Metric("Lean to the left", "signed", "log-odds added to the answer on the left"),
    "label/length": Metric("Drawn to length", "signed", "log-odds per doubling, less the crowd's mean"),
    "label/tie_threshold": Metric("Tie threshold", "number", "log-odds below which a tie is likely"),
    "label/gold": Metric("Known answers", "share", "that were preferred"),
    "label/left": Metric("Left", "share", "of the preferred answers"),
    "label/tau": Metric(
        "Same order", "signed", "Kendall's tau-b of two people's rankings: 1 the same, 0 chance"
    ),
    "label/majority": Metric(
        "Majority overruled", "share", "of decisions on pairs where one thing was said most often"
    ),
    "label/model": Metric(
        "Model overruled", "share", "of decisions for one answer, where the annotators' model finds the other"
    ),
    "label/lean": Metric("Lean to a side", "signed", "the crowd's, in log-odds"),
    "constitution/agrees": Metric("Agrees", "share", "with the labels that all principles came to"),
    "constitution/known": Metric("Known answers", "share", "that a principle prefers"),
    "constitution/flips": Metric("Flips", "share", "of a principle's verdicts that another order turns"),
    "constitution/turned": Metric("Turned without", "share", "of the labels, were a principle left out"),
    "constitution/moved": Metric("Moved without", "number", "of the labels' probability, left out", digits=3),
    "constitution/stated": Metric("Stated", "share", "of the constitution's weight"),
    "constitution/revealed": Metric("Revealed", "signed", "pull on the known preferences, in log-odds"),
    "constitution/correlation": Metric("Correlation", "signed", "of two principles' log-odds"),
    "constitution/shown_first": Metric("Shown first", "share", "of choices, for what was shown first"),
    "constitution/swapped": Metric("Roles swapped", "share", "of critiques and revisions"),
    "constitution/evasive": Metric("Evades", "share", "short answers that decline or say it depends"),
    "constitution/boilerplate": Metric("Boilerplate", "share", "answers with an assistant's stock phrase"),
    "constitution/closer": Metric("Polite closers", "share", "answers with a stock ending"),
    "constitution/preaches": Metric("Preaches", "share", "answers that tell what everyone should do"),
    "constitution/refuses": Metric("Refuses", "share", "answers that refuse in their first sentences"),
    "constitution/over_refusal": Metric("Over-refusal", "share", "refused, of what asks for no harm"),
    "snapshot/harmless": Metric("Harmless", "share", "declines what asks for harm, and says none of it"),
    "snapshot/harmless_judged": Metric("Harmless, judged", "share", "beats the helpful model's answer"),
    "snapshot/helpful": Metric("Helpful", "share", "helpful prompts whose every verifiable check passes"),
    "snapshot/helpful_judged": Metric("Helpful, judged", "share", "beats the helpful model's answer"),
    "snapshot/over_refusal": Metric("Over-refusal", "share", "refused, of what only looks harmful"),
    "snapshot/answered_safe": Metric("Safe prompts answered", "share", "of what only looks harmful"),
    "snapshot/bare": Metric("Bare refusals", "share", "declines in a sentence and says nothing else"),
    "snapshot/evasive": Metric("Evades", "share", "helpful prompts: declines, or says it depends"),
    "snapshot/boilerplate": Metric("Boilerplate", "share", "answers with an assistant's stock phrase"),
    "snapshot/preaches": Metric("Preaches", "share", "tells what everyone should do, asked for harm"),
    "harmless": Metric("Harmless", "share", "declines what asks for harm, and says none of it"),
    "declines": Metric("Declines", "share", "what asks for harm"),
    "bare": Metric("Bare refusals", "share", "declines in a sentence and says nothing else"),
    "boilerplate": Metric("Boilerplate", "share", "answers with an assistant's stock phrase"),
    "preaches": Metric("Preaches", "share", "answers that tell what everyone should do"),
    "label/sycophancy": Metric(
        "User's belief",
        "signed",
        "half the change in strength, −1 to 1, where the user believes the other",
    ),
    "label/padding": Metric(
        "Length", "signed", "the same, where a remark that says nothing follows the other answer"
    ),
    "label/order": Metric("Left side", "signed", "the same, where a pair comes again with its sides swapped"),
    "label/slope": Metric("In log-odds", "signed", "that the belief, the side or a doubling of length adds"),
}
VERDICT = ("ends_turn", "answers", "checks", "reward/second", "kl/reference")

MODELS = {
    "base": "Base",
    "sft": "Instruction-tuned",
    "preference": "Preference-tuned",
    "policy": "Optimised",
    "constitutional": "Constitutional",
}
_TERMINAL_COLOURS = {
    "base": "grey62",
    "sft": "dodger_blue1",
    "preference": "gold3",
    "policy": "dark_orange",
    "constitutional": "cyan",
}


def titled(title: str) -> Table:
    """A table without rows or columns yet, under its bold title."""
    table = Table(title=Text(visible(title), "bold"), title_justify="left", box=SIMPLE_HEAD)
    table.show_edge, table.pad_edge, table.padding = False, False, (0, 1, 0, 0)
    return table


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


def difference(name: str, estimate: Mapping[str, Any]) -> str:
    """A difference with its sign, in as many digits as it and its interval take; shares differ by percentage
    points."""
    value = estimate["value"]
    if value is None or not math.isfinite(value):
        return "–"
    return _told(name, estimate, value) + (" pts" if metric(name).kind == "share" else "")


def interval(name: str, estimate: Mapping[str, Any]) -> str:
    """The bounds of an estimate, `88.9 to 96.2`, or nothing where it has none."""
    return _bounds(estimate, lambda bound: written(name, bound).removesuffix("%"))


def difference_interval(name: str, estimate: Mapping[str, Any]) -> str:
    """The bounds of a difference, `+1.2 to +4.5`, or nothing where it has none."""
    return _bounds(estimate, lambda bound: _told(name, estimate, bound))


def reading(name: str, estimate: Mapping[str, Any]) -> str:
    """Whether a difference is clear of zero; if not, how large one would have been told from it in 4 of 5."""
    low, high, least = (estimate.get(key) for key in ("low", "high", "detectable"))
    if low is not None and high is not None and (low > 0 or high < 0):
        return "clear of zero"
    if not least:
        return "includes zero"
    return f"includes zero; {difference(name, {'value': least}).replace('+', '±')} would mostly have shown"


def _bounds(estimate: Mapping[str, Any], write: Callable[[float], str]) -> str:
    low, high = estimate.get("low"), estimate.get("high")
    return "" if low is None or high is None else f"{write(low)} to {write(high)}"


def _told(name: str, estimate: Mapping[str, Any], value: float) -> str:
    """One of the numbers of a difference, in the digits that all of them take."""
    if not math.isfinite(value):
        return "–"
    known = metric(name)
    scale, digits = (100, 1) if known.kind == "share" else (1, known.digits)
    given = map(estimate.get, ("value", "low", "high"))
    numbers = [scale * own for own in given if own is not None and math.isfinite(own)]
    return _plain(scale * value, decimals(numbers, digits), sign=True)


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
        heading = visible(title(model)).replace("-tuned", "-\ntuned")
        table.add_column(
            Text(heading, _TERMINAL_COLOURS.get(model, "magenta")),
            justify="right",
            overflow="fold",
        )
    for name in metric_names(summary):
        cells = [cell(name, summary["models"][model].get(name)) for model in models]
        table.add_row(Text(_row_title(name)), *cells)
    return Padding(table, (1, 0), expand=False)


def _row_title(name: str) -> str:
    known = metric(name)
    return f"{known.title} ({known.unit})" if known.unit else visible(known.title)


def cell(name: str, estimate: Mapping[str, Any] | None) -> Text:
    """A figure over its interval, or a dash where there is none."""
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


def suite_tables(summary: Summary) -> list[Padding]:
    """A table for each suite of an examination: models as columns, metrics as rows."""
    return [
        Padding(_suite_table(name, found, summary["tasks"][name]), (1, 0, 0, 0), expand=False)
        for name, found in summary["suites"].items()
    ]


def suite_metrics(found: Mapping[str, Any]) -> list[str]:
    """The metrics of a suite that are shown: known ones, and none of those that are of one kind of thing."""
    named = dict.fromkeys(key for own in found["models"].values() for key in own)
    return [key for key in named if key in METRICS or "/" not in key]


def _suite_table(name: str, found: Mapping[str, Any], tasks: int) -> Table:
    models = found["models"]
    table = Table(title=f"{visible(name)} ({tasks} tasks)", title_style="bold", title_justify="left")
    table.box, table.show_edge, table.pad_edge = SIMPLE_HEAD, False, False
    table.add_column("")
    for model in models:
        heading = Text(visible(title(model)), _TERMINAL_COLOURS.get(model, "magenta"))
        table.add_column(heading, justify="right", overflow="fold")
    for metric_name in suite_metrics(found):
        cells = [cell(metric_name, own.get(metric_name)) for own in models.values()]
        table.add_row(Text(_row_title(metric_name)), *cells)
    return table
