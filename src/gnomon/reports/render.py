"""A run folder as one self-contained HTML file that opens offline."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import ChainableUndefined, Environment, PackageLoader

from gnomon.markup import to_html, visible
from gnomon.reports import figures, snapshots, tables, view
from gnomon.reports.folder import Row, Run, read_run
from gnomon.runs import write_text

_FILTERS = {
    "written": lambda value, name: tables.written(name, value),
    "bounds": lambda estimate, name: tables.interval(name, estimate),
    "difference": lambda row, name: tables.difference(name, row),
    "reading": lambda row, name: tables.reading(name, row),
    "difference_bounds": lambda row, name: tables.difference_interval(name, row),
    "metric": tables.metric,
    "model_title": tables.title,
    "known": lambda model: model if model in tables.MODELS else "other",
    "duration": view.duration,
    "dissent": view.dissent,
    "yaml": lambda values: yaml.safe_dump(values, sort_keys=False).strip(),
    "markup": to_html,
}
_POLICY_PANELS = (
    (
        "Reward",
        ("reward/mean", "reward/second", "reward/fixed_length"),
        "Mean score of the samples. Scales of two reward models differ: compare where they go.",
    ),
    (
        "Reward, prompts set aside",
        ("eval/reward/mean", "eval/reward/second", "eval/reward/fixed_length"),
        "The same of prompts that train nothing, asked alike at every evaluation point.",
    ),
    ("Checks, prompts set aside", ("eval/checks",), "Share of verifiable checks that are passed."),
    (
        "Checks and form",
        ("checks", "term/form"),
        "Share of checks that samples pass, and what the rule of form says of them. Where checks rise while "
        "form falls, they are passed without answering.",
    ),
    (
        "Agreement",
        ("reward/agreement",),
        "Correlation of both reward models on samples of one prompt. Near 0, a gain is the first one's own.",
    ),
    ("KL from reference", ("kl/reference",), "Nats per answer. The run stops before the dashed line."),
    ("Length", ("length/tokens",), "Tokens per answer. Longer for no reason is a way to game a reward."),
    ("Ends its turn", ("ends_turn",), "Share of samples that stop by themselves."),
    (
        "Spread",
        ("reward/spread",),
        "Standard deviation of the ensemble's members. It grows out of its depth.",
    ),
    ("Variety", ("distinct/2",), "Two-token runs in the answers to a prompt that are distinct."),
    (
        "Entropy",
        ("entropy", "entropy/sampled"),
        "Nats per token. A collapse means one answer for everything.",
    ),
)

_SHARES = {"ends_turn", "checks", "eval/checks", "distinct/2"}
_ALARMED = {
    "proxy": "reward/mean",
    "second": "reward/second",
    "spread": "reward/spread",
    "length": "length/tokens",
    "ends": "ends_turn",
    "distinct": "distinct/2",
    "entropy": "entropy/sampled",
}
"""The metric behind each figure that an alarm is about."""

_LABELS = {
    "reward/mean": "optimised against",
    "checks": "checks passed",
    "term/form": "rule of form",
    "reward/second": "second, only watching",
    "reward/fixed_length": "the first, at one length",
    "logps/chosen": "preferred answer",
    "logps/rejected": "the other",
}


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure with its heading and a sentence on how to read it."""

    heading: str
    svg: str
    note: str = ""


def render_report(run_folder: Path) -> Path:
    """Write `report.html` into a run folder, whole or not at all, and return its path.

    DataError where the folder cannot be read as a run; StorageError where the page cannot be written.
    """
    target = run_folder / "report.html"
    write_text(target, _page(read_run(run_folder)))
    return target


def _page(run: Run) -> str:
    told = run.summary.get("models", {})
    refs = {name: ref for name, ref in told.items() if isinstance(ref, str)}  # of suites, win rates
    summary = run.summary | {"models": {name: own for name, own in told.items() if name not in refs}}
    bread, whose = summary.get("bread", {}), summary.get("preferences", {})
    answered = {row["model"] for row in run.answers}
    return page(
        "report.html.j2",
        run=run,
        summary=summary,
        refs=refs,
        models=tables.ordered({*summary["models"], *bread.get("answers", {}), *answered}),
        bread={row["model"]: row for row in run.answers if row["prompt"] == bread.get("prompt")},
        asked=view.browse(run.answers),
        metric_names=tables.metric_names(summary),
        suite_metrics=tables.suite_metrics,
        verdict={name: view.track(name, summary) for name in tables.VERDICT},
        differences=view.differences(summary.get("differences", [])),
        plots=_plots(run),
        transcripts=view.transcripts(run.critiques),
        snapshot_metrics=snapshots.METRICS,
        preferences=view.preference_name(whose.get("sources", {})) if whose.get("optimised", True) else "",
    )


def page(name: str, **given: Any) -> str:
    """A template filled in, with the style and the script of all pages; text that is given is escaped."""
    style, script = (template(each) for each in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment().get_template(name).render(style=style, script=script, script_hash=digest, **given)


def template(name: str) -> str:
    """The text of one of our templates, as it is."""
    return (files("gnomon.reports") / "templates" / name).read_text("utf-8")


def environment() -> Environment:
    """Templates that escape every value; a part the run does not have is simply false."""
    environment = Environment(
        loader=PackageLoader("gnomon.reports"),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.filters.update(_FILTERS)
    return environment


def _plots(run: Run) -> dict[str, list[Plot]]:
    """The figures of each section; a section nothing was logged for has none."""
    summary, logged = run.summary, run.metrics
    plots: dict[str, list[Plot]] = {"sft": [], "reward": [], "constitution": [], "accuracy": [], "gate": []}
    for stage, rows in logged.items():
        section = next((name for name in ("sft", "reward", "constitution") if stage.startswith(name)), None)
        if section:
            plots[section] += _curves(stage, rows)
    plots["preference"] = _preference(logged.get("preference", []))
    plots["policy"] = _policy(logged.get("policy", []), summary.get("policy", {}))
    if "by_reason" in summary.get("reward", {}):
        svg = figures.accuracy_by_reason(summary["reward"], summary.get("reward_second"))
        note = "Bar and dot: the reward model. Diamond: the second. Grey: what length alone would score."
        plots["accuracy"].append(Plot("Accuracy on held-out comparisons", svg, note))
    if summary.get("reward", {}).get("reliability"):
        svg = figures.reliability("reward-reliability", summary["reward"]["reliability"])
        note = "Probability that an answer is the better, as the model states it, and how often it was."
        plots["accuracy"].append(Plot("Calibration on held-out comparisons", svg, note))
    if "accuracy" in summary.get("constitution", {}).get("gate", {}):
        svg = figures.gate(summary["constitution"]["gate"])
        plots["gate"].append(Plot("The gate before AI comparisons", svg))
    plots["plane"] = [Plot(*one) for one in snapshots.planes(summary)]
    return plots


def _curves(stage: str, rows: Sequence[Row]) -> list[Plot]:
    """Loss, and accuracy in training where it was logged, of one stage."""
    colours = {
        "sft": figures.SFT,
        "preference": figures.PREFERENCE,
        "reward": figures.REWARD,
        "constitution": figures.CONSTITUTIONAL,
    }
    second = ", second model" if stage.startswith("reward_") else ""
    plots = []
    for name, heading in (("loss", "Loss"), ("reward/accuracy", "Accuracy in training")):
        line = _line(name, rows, colours.get(stage, figures.SECOND))
        if line:
            svg = figures.curve(f"{stage}-{name.replace('/', '-')}", [line], share=name != "loss")
            plots.append(Plot(heading + second, svg))
    return plots


def _preference(rows: Sequence[Row]) -> list[Plot]:
    """Loss and accuracy in training, and where the log-probs of both answers go."""
    plots = _curves("preference", rows)
    lines = [
        _line("logps/chosen", rows, figures.PREFERENCE),
        _line("logps/rejected", rows, figures.SECOND),
    ]
    drawn = [line for line in lines if line]
    if drawn:
        note = "Nats per answer. That of the preferred answer often falls too: the other one falls faster."
        plots.append(Plot("Log-probability", figures.curve("preference-logps", drawn), note))
    return plots


def _policy(rows: Sequence[Row], told: Mapping[str, Any]) -> list[Plot]:
    kl_budget, plots = told.get("kl_budget"), []
    for heading, names, note in _POLICY_PANELS:
        drawn = [line for name in names if (line := _line(name, rows, _colour(name)))]
        limit = (kl_budget, f"budget {kl_budget:g}") if kl_budget and names == ("kl/reference",) else None
        if drawn:
            key = "policy-" + names[0].replace("/", "-")
            alarms = _alarms(told.get("alarms", []), names)
            svg = figures.curve(key, drawn, share=names[0] in _SHARES, limit=limit, alarms=alarms)
            plots.append(Plot(heading, svg, note))
    return plots


def _colour(name: str) -> str:
    if name.endswith("fixed_length"):
        return figures.MUTED
    return figures.SECOND if "second" in name or name == "term/form" else figures.POLICY


def _alarms(alarms: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[float]:
    """The steps of the alarms that are about these metrics, on whichever prompts."""
    shown = {name.removeprefix("eval/") for name in names}
    about = [({_ALARMED[change["figure"]] for change in alarm["changes"]}, alarm["step"]) for alarm in alarms]
    return sorted({step for figures_, step in about if figures_ & shown})


def _line(name: str, rows: Sequence[Row], colour: str) -> figures.Line | None:
    """One metric over the steps that logged it; None where none did."""
    points: list[tuple[Any, Any]] = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    if not points:
        return None
    steps, values = zip(*points, strict=True)
    label = _LABELS.get(name.removeprefix("eval/"), name)
    return figures.Line(label, colour, steps, values)
