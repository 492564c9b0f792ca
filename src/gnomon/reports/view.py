"""What the page shows, worked out from what the run folder says."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from gnomon.records import Critique
from gnomon.reports.folder import Row
from gnomon.reports.tables import Summary, metric, ordered

_TRANSCRIPTS = 6
_ANNOTATORS = 30


@dataclass(frozen=True, slots=True)
class Asked:
    """One held-out prompt with each model's answer row, and how far the models lie apart on it."""

    id: str
    family: str
    prompt: str
    answers: dict[str, Row]
    failed: tuple[str, ...]
    disagreement: float
    reward_gap: float


@dataclass(frozen=True, slots=True)
class Whisker:
    """Where a figure and its interval lie on a track, in per cent of its width."""

    value: float
    low: float
    high: float


def browse(answers: Sequence[Row]) -> list[Asked]:
    """Answer rows gathered by prompt, in the order asked."""
    by_prompt: dict[str, dict[str, Row]] = {}
    for row in answers:
        by_prompt.setdefault(row["prompt_id"], {})[row["model"]] = row
    return [_asked(prompt_id, rows) for prompt_id, rows in by_prompt.items()]


def _asked(prompt_id: str, rows: dict[str, Row]) -> Asked:
    first = next(iter(rows.values()))
    rewards = [row["reward/second"] for row in rows.values() if row.get("reward/second") is not None]
    models = ordered(rows)
    return Asked(
        id=prompt_id,
        family=first.get("family", ""),
        prompt=first["prompt"],
        answers={model: rows[model] for model in models},
        failed=tuple(model for model in models if rows[model].get("checks_passed") is False),
        disagreement=disagreement(list(rows.values())),
        reward_gap=max(rewards) - min(rewards) if rewards else 0.0,
    )


def disagreement(rows: Sequence[Row]) -> float:
    """1 where some pass the checks and some fail, plus the mean share of words two answers do not share."""
    split = len({row.get("checks_passed") for row in rows}) > 1
    words = [set(re.findall(r"\w+", row["answer"].lower())) for row in rows]
    apart = [1 - len(a & b) / len(a | b) if a | b else 0.0 for a, b in combinations(words, 2)]
    return split + sum(apart) / max(1, len(apart))


def track(name: str, summary: Summary) -> dict[str, Whisker]:
    """Each model's figure on one scale: 0 to 1 for shares, else from the least to the greatest bound or 0."""
    values = summary.get("models", {})
    found = {model: values[model][name] for model in ordered(values) if name in values[model]}
    bounds = [0.0, *(edge for estimate in found.values() for edge in _edges(estimate))]
    low, high = (0.0, 1.0) if metric(name).kind == "share" else (min(bounds), max(bounds))
    return {model: _whisker(estimate, low, high) for model, estimate in found.items()}


def differences(rows: Sequence[Row]) -> list[tuple[Row, Whisker]]:
    """Each difference with its place on a scale centred on zero, one scale for each metric."""
    reach: dict[str, float] = {}
    for row in rows:
        reach[row["metric"]] = max(reach.get(row["metric"], 0.0), *(abs(edge) for edge in _edges(row)))
    return [(row, _whisker(row, -reach[row["metric"]], reach[row["metric"]])) for row in rows]


def _edges(estimate: Row) -> tuple[float, float, float]:
    value, low, high = (estimate.get(key) for key in ("value", "low", "high"))
    middle = 0.0 if value is None else float(value)
    return middle, middle if low is None else low, middle if high is None else high


def _whisker(estimate: Row, low: float, high: float) -> Whisker:
    span = (high - low) or 1.0
    return Whisker(*(round(100 * (edge - low) / span, 2) for edge in _edges(estimate)))


def preference_name(sources: Mapping[str, int]) -> str:
    """What optimising on these labels may be called; RLHF only where people gave some of them."""
    names = {
        "person": "RLHF on preferences of people",
        "ai": "preference optimisation on comparisons labelled by a model",
        "constructed": "preference optimisation on constructed comparisons",
        "planted": "preference optimisation on comparisons labelled by a planted rule",
    }
    return "; ".join(text for source, text in names.items() if sources.get(source))


def dissent(annotators: Mapping[str, Row]) -> list[tuple[str, Row]]:
    """Annotators with their figures, those first whose votes are most against the labels; thirty at most."""
    order = sorted(annotators.items(), key=lambda item: -(item[1]["against"] or 0.0))
    return order[:_ANNOTATORS]


def transcripts(critiques: Sequence[Critique]) -> list[Critique]:
    """Some kept revisions that changed the answer, then some that were rejected; six at most."""
    kept = [critique for critique in critiques if critique.kept and critique.revision != critique.response]
    rejected = [critique for critique in critiques if not critique.kept]
    first = kept[: _TRANSCRIPTS - min(len(rejected), _TRANSCRIPTS // 3)]
    return first + rejected[: _TRANSCRIPTS - len(first)]


def duration(seconds: float) -> str:
    """Seconds as a person says them: `42 s`, `3 min 5 s`, `1 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
