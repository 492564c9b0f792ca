"""The whole road: from a recipe to the report."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gnomon.config import Recipe, Until
from gnomon.constitution.principles import load_constitution
from gnomon.data.sources import Data
from gnomon.distributed import leads, processes
from gnomon.evaluation.prompts import checked
from gnomon.models.reference import parse_model_ref
from gnomon.pipeline.account import libraries_aside
from gnomon.pipeline.answers import answer_rows
from gnomon.pipeline.audit import audited
from gnomon.pipeline.expected import expected
from gnomon.pipeline.feedback import ROWS
from gnomon.pipeline.labellers import deciding
from gnomon.pipeline.lineage import write_manifest
from gnomon.pipeline.openings import Opening, of_stages
from gnomon.pipeline.outcome import outcome
from gnomon.pipeline.project import read_rows
from gnomon.pipeline.reporter import Reporter
from gnomon.pipeline.rows import read_lines, read_records, write_lines, write_records
from gnomon.pipeline.scoring import MODEL
from gnomon.pipeline.snapshots import SNAPSHOTS, snapshot_rows, snapshots_of
from gnomon.pipeline.stages import data_stage
from gnomon.pipeline.suites import asked, suites
from gnomon.pipeline.summary import build_summary
from gnomon.pipeline.walk import WALK, Road, names, opened, unmade, walk
from gnomon.records import Critique
from gnomon.reports.folder import AUDIT, CRITIQUES
from gnomon.reports.render import render_report
from gnomon.runs import storing, write_json
from gnomon.store import content_id


def run(recipe: Recipe, out: Path, reporter: Reporter, *, until: Until | None = None) -> dict[str, Any]:
    """Walk the road and return the summary; what is already made is not made again.

    Under torchrun all processes walk it together; the first one has the summary, the others get an empty one.
    """
    with processes():
        parse_model_ref(recipe.model.ref)
        if recipe.constitution is not None:
            load_constitution(recipe.data.constitution)  # what is wrong with it is better said now than later
        held_out = asked([*suites(recipe), *snapshots_of(recipe)])
        data = read_rows(recipe.data, recipe.seed, held_out)
        checked([*data.evaluation, *data.policy])
        with opened(recipe, out, reporter) as road, libraries_aside():
            if leads():
                road.run.write_config(recipe.model_dump(mode="json"))
            road.make(data_stage(recipe, data))
            stages = names(recipe, until)[1:]
            missing, beside = unmade(road, stages), expected(recipe, data)
            road.reporter.road_started({name: beside[name] if name in missing else 0.0 for name in stages})
            walk(road, stages)
            return conclude(road, data) if leads() else {}


def conclude(road: Road, data: Data) -> dict[str, Any]:
    """The summary of a road that was walked, and everything people read."""
    recipe = road.recipe
    made = [artefact for name, artefact in road.made.items() if name.startswith("answers_")]
    examined = {artefact.id for name, artefact in road.made.items() if name.startswith("suites_")}
    answers = [row for artefact in made for row in answer_rows(artefact)]
    manifest = write_manifest(
        road.run, road.store, list(road.made.values()), seed=recipe.seed, data=data.digests
    )
    if "revise" in road.made and recipe.constitution is not None:
        for text in outcome(recipe.constitution, road.made)["warnings"]:
            road.warn(text)
    read = {look.id for look in of_stages(road.store)} & ({artefact.id for artefact in made} | examined)
    road.open_test(*[Opening.now("report", content_id(sorted(read)))] if read else [])
    summary = build_summary(recipe, road.made, answers, road.warnings, road.store)
    publish(road, summary, answers)
    return summary | {"manifest": manifest["artefacts"]}


def publish(road: Road, summary: dict[str, Any], answers: Sequence[Any]) -> None:
    """Write what people and programs read: answers, critiques, AI labels, an audit, summary, report."""
    folder = road.run.path
    _take_away(road)
    _name_models(road)
    write_lines(folder / "answers.jsonl", answers)
    if "revise" in road.made:
        critiques = read_records(road.made["revise"].path / "critiques.jsonl", Critique)
        labelled = deciding(road.made)
        labels = read_lines(labelled.path / ROWS) if labelled else []
        write_records(folder / CRITIQUES, critiques)
        write_lines(folder / ROWS, labels)
        write_json(folder / AUDIT, audited(labels, critiques, answers, road.principles))
    if "snapshots" in road.made:
        write_lines(folder / SNAPSHOTS, snapshot_rows(road.made))
    write_json(folder / "summary.json", summary)
    render_report(folder)


def _take_away(road: Road) -> None:
    """What an earlier run left here of stages that this one has not; it stays in their artefacts."""
    folder, made = road.run.path, road.made
    gone = {road.store.about(key)["stage"] for key in road.store.ids()} - made.keys()
    left = [road.run.metrics(name) for name in WALK if name not in made]
    left += [folder / name for name in (CRITIQUES, ROWS, AUDIT) if "revise" in gone]
    left += [folder / SNAPSHOTS] if "snapshots" in gone else []
    with storing(folder):
        for file in left:
            file.unlink(missing_ok=True)


def _name_models(road: Road) -> None:
    """Each model of this run by its stage, as a link that moves with the folder; a warning where there can be
    none. Whatever else lies there is somebody's own."""
    links, store = road.run.models, road.store.root.resolve()
    with storing(road.run.path):
        links.mkdir(exist_ok=True)
        for old in links.iterdir():
            if old.is_symlink() and old.resolve().is_relative_to(store):
                old.unlink()
    for name, made in road.made.items():
        link, model = links / name, made.path / MODEL
        if not model.is_dir():
            continue
        try:
            link.symlink_to(os.path.relpath(model, links), target_is_directory=True)
        except OSError as problem:
            road.reporter.warning(f"{link}: {problem.strerror}; the model is {model}")
