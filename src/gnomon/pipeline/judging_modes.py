"""Every way of judging measured on the same comparisons with known answers, beside what length would say."""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gnomon.config import ConstitutionSettings, Recipe
from gnomon.constitution.gate import Clusters, measured, truth_of
from gnomon.constitution.labeller import Feedback, Labeller, shaped
from gnomon.constitution.modes import mode, tells_likelihoods
from gnomon.constitution.principles import load_constitution
from gnomon.data.reader import BUILTIN, Reader
from gnomon.data.splits import take
from gnomon.evaluation.agreement import clusters_of, known_pairs
from gnomon.judges.judgement import Judgement, Said
from gnomon.judges.rules import LongestWins
from gnomon.models.reference import is_served
from gnomon.pipeline.feedback import SUBJECT
from gnomon.pipeline.labellers import reads_principles
from gnomon.pipeline.lineage import software
from gnomon.pipeline.reporter import Reporter
from gnomon.pipeline.roles import Cast, kept_rows, who
from gnomon.pipeline.rows import write_lines
from gnomon.pipeline.stages import Start
from gnomon.records import Comparison
from gnomon.runs import RunFolder, write_json
from gnomon.settings.feedback import FeedbackSettings, Shape
from gnomon.stats.calibration import calibration_interval, expected_calibration_error

SHAPES: tuple[Shape, ...] = ("soft", "clamped", "hard")

LONGER = "longer wins"


def judge_modes(
    recipe: Recipe, names: Sequence[str], on: str, limit: int | None, out: Path, reporter: Reporter
) -> dict[str, Any]:
    """Accuracy, calibration and flips of each mode, with intervals of conversations.

    `on` is a file of labelled comparisons or `builtin`; `summary.json` and `rows.jsonl` go to `out`, and what
    was asked is kept there: the same command goes on where it was interrupted, another mode asks what is new.
    A mode that the labeller cannot be asked in is left out and named; ConfigError where it reads no principle
    at all.
    """
    settings = recipe.constitution or ConstitutionSettings()
    ref, start = reads_principles(settings.roles.labeller), Start(recipe.model.ref)
    known, dropped = known_comparisons(on, limit, recipe.seed)
    clusters = clusters_of(known)
    skipped = tells_likelihoods(names, settings.feedback) if is_served(ref) else ()
    out.mkdir(parents=True, exist_ok=True)
    with RunFolder(out).open():
        cast = Cast(start, recipe.model.dtype, out, settings.roles)
        constitution = load_constitution(recipe.data.constitution)
        labeller = Labeller(
            who(ref, start),
            cast.backend(ref),
            constitution,
            settings.feedback,
            kept_rows(out / "asked.jsonl"),
            recipe.seed,
        )
        found: dict[str, dict[str, Any]] = {}
        rows: list[dict[str, Any]] = []
        about = {"on": on, "dropped": dropped, "skipped": list(skipped)}
        summary = _summary(labeller, known, clusters, found) | about
        write_json(out / "summary.json", summary)  # all there is where every mode is left out
        for name in (n for n in names if n not in skipped):
            chosen = mode(name, settings.feedback)
            found[name], said = _measured(name, replace(labeller, settings=chosen), known, clusters, reporter)
            rows += [_row(name, pair, own, chosen) for pair, own in zip(known, said, strict=True)]
            summary = _summary(labeller, known, clusters, found) | about
            write_json(out / "summary.json", summary)
        write_lines(out / "rows.jsonl", rows)
    return summary


def known_comparisons(
    on: str, limit: int | None, seed: int
) -> tuple[list[Comparison], dict[str, dict[str, int]]]:
    """The labelled comparisons of a file or, of the built-in ones, those a constitution speaks about; and how
    many rows were dropped, by file and reason.

    The better answer stands first in some and second in others.
    """
    reader = Reader("skip")
    rows = reader.read("comparisons", Comparison, [on])
    if on == BUILTIN:
        rows = [row for row in rows if row.label is not None and row.label.reason in SUBJECT]
    return take(known_pairs(rows), limit, seed, lambda row: ""), reader.dropped


def _measured(
    name: str, labeller: Labeller, known: Sequence[Comparison], clusters: Clusters, reporter: Reporter
) -> tuple[dict[str, Any], list[Feedback]]:
    begun = time.monotonic()
    reporter.stage_started(name, cached=False)
    said = labeller.feedback(
        known, both=True, progress=lambda done, total: reporter.progress(name, done, total, "", None)
    )
    seconds = time.monotonic() - begun
    reporter.stage_finished(name, seconds)
    soft = labeller.settings.model_copy(update={"labels": "soft"})
    judged = [own.said(soft) for own in said]
    truths = [truth_of(pair) for pair in known]
    figures = asdict(measured(judged, known, clusters))
    for shape in SHAPES:
        figures |= _calibration(judged, truths, clusters, shape, labeller.settings)
    if labeller.settings.order == "one":
        figures["asked"] = "one order"
    return figures | {"seconds": round(seconds, 2)}, said


def _calibration(
    judged: Sequence[Said],
    truths: Sequence[bool],
    clusters: Clusters,
    shape: Shape,
    settings: FeedbackSettings,
) -> dict[str, Any]:
    """The calibration error of labels of one shape, over both answers of every pair, and less what chance
    adds to it with its interval; that is None where all pairs are of one conversation."""
    stated = [
        shaped(own.preference, shape, settings.clamp) if isinstance(own, Judgement) else 0.5 for own in judged
    ]
    both = [*stated, *(1 - p for p in stated)], [*truths, *(not truth for truth in truths)]
    several = len(set(clusters)) > 1
    return {
        f"ece_{shape}": expected_calibration_error(*both),
        f"ece_{shape}_interval": asdict(calibration_interval(*both, [*clusters] * 2)) if several else None,
    }


def _summary(
    labeller: Labeller, known: Sequence[Comparison], clusters: Clusters, found: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    longest = measured(LongestWins().prefer(known), known, clusters)
    return {
        "labeller": str(labeller.who),
        "constitution": labeller.constitution.digest,
        "pairs": len(known),
        "clusters": len(set(clusters)),
        "modes": found,
        "baselines": {LONGER: asdict(longest)},
        "software": software(),
    }


def _row(name: str, pair: Comparison, said: Feedback, settings: FeedbackSettings) -> dict[str, Any]:
    return {
        "mode": name,
        "id": pair.id,
        "known": truth_of(pair),
        "preference": said.preference(settings),
        "first_order": said.first_order,
        "second_order": said.second_order,
        "opinions": [asdict(opinion) for opinion in said.opinions],
    }
