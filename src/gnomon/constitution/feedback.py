"""Comparisons labelled by a model, and how much they weigh beside those of people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from gnomon.config import ConstitutionSettings
from gnomon.constitution.gate import GateReport
from gnomon.constitution.labeller import Feedback, Labelling, Progress
from gnomon.errors import ModelError
from gnomon.judges.judgement import flips
from gnomon.records import Comparison, Label, Source


def label(
    labeller: Labelling,
    pairs: Sequence[Comparison],
    gate: GateReport,
    settings: ConstitutionSettings,
    progress: Progress | None = None,
) -> tuple[list[Comparison], list[dict[str, Any]]]:
    """The pairs with labels of source `ai`, the principles as reason, and all that was said of each pair.

    Where the truth labels, with whatever noise, their source is `planted`.

    ModelError if the gate is shut, unless the settings only want to be warned. Pairs of which the labeller
    says neither letter have a row, and no label.
    """
    if not gate.passed and settings.feedback.gate == "holds":
        raise ModelError(gate.message)
    said = labeller.feedback(pairs, progress=progress)
    rows = [row_of(labeller, pair, own) for pair, own in zip(pairs, said, strict=True)]
    source: Source = "planted" if labeller.who.role == "truth" else "ai"
    labelled = [
        replace(pair, label=Label(row["preference"], source, _reason(own), annotator=str(labeller.who)))
        for pair, own, row in zip(pairs, said, rows, strict=True)
        if row["preference"] is not None
    ]
    return labelled, rows


def row_of(labeller: Labelling, pair: Comparison, said: Feedback) -> dict[str, Any]:
    """All that is needed to see why a pair has its label, and to audit the principles behind it."""
    told = None if pair.label is None or pair.label.source == "ai" else pair.label
    first, second = said.first_order, said.second_order
    return {
        "id": pair.id,
        "prompt": pair.prompt.text,
        "first": [turn.content for turn in pair.first],
        "second": [turn.content for turn in pair.second],
        "preference": said.preference(labeller.settings),
        "labels": labeller.settings.shape,
        "role": labeller.who.role,
        "labeller": labeller.who.ref,
        "constitution": labeller.constitution.digest,
        "first_order": first,
        "second_order": second,
        "flips": None if first is None or second is None else flips(first, second),
        "opinions": [asdict(opinion) for opinion in said.opinions],
        "known": None if told is None else told.preference,
        "known_source": None if told is None else told.source,
    }


def _reason(said: Feedback) -> str:
    return "+".join(opinion.principle for opinion in said.opinions)


def mixed(
    given: Sequence[Comparison], ai: Sequence[Comparison], share: float | None
) -> tuple[list[Comparison], dict[str, Any]]:
    """Comparisons of both kinds for a reward model, the AI's weighed to be this share of the whole weight.

    People's and constructed comparisons keep their weights; w of each AI label is multiplied by
    share / (1 - share) * sum(given) / sum(ai). None leaves all as they are. The report has rows and weight of
    each source. Comparisons without a label weigh nothing, and whoever trains drops and counts them.
    """
    own = [*given, *ai]
    if share is not None and _weight(given) and _weight(ai):
        factor = share / (1 - share) * _weight(given) / _weight(ai)
        own = [*given, *(_weighed(row, factor) for row in ai)]
    total = _weight(own)
    sources = sorted({row.label.source for row in own if row.label is not None})
    report: dict[str, Any] = {
        source: _told([row for row in own if _source(row) == source], total) for source in sources
    }
    return own, report


def _told(rows: Sequence[Comparison], total: float) -> Mapping[str, float | int]:
    return {"rows": len(rows), "share": _weight(rows) / total}


def _weight(rows: Sequence[Comparison]) -> float:
    return sum(row.label.weight for row in rows if row.label is not None)


def _source(row: Comparison) -> str | None:
    return row.label.source if row.label is not None else None


def _weighed(row: Comparison, factor: float) -> Comparison:
    if row.label is None:
        return row
    return replace(row, label=replace(row.label, weight=row.label.weight * factor))
