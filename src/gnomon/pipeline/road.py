"""The whole road: from a recipe to the report."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gnomon.config import Recipe, Until
from gnomon.constitution.principles import load_constitution
from gnomon.data.sources import read_data
from gnomon.errors import ConfigError
from gnomon.evaluation.suites import checked
from gnomon.models.reference import parse_model_ref
from gnomon.pipeline.answers import answer_rows
from gnomon.pipeline.expected import expected
from gnomon.pipeline.lineage import write_manifest
from gnomon.pipeline.rows import write_lines
from gnomon.pipeline.stage import Reporter
from gnomon.pipeline.stages import data_stage
from gnomon.pipeline.summary import build_summary
from gnomon.pipeline.walk import Road, names, unmade, walk
from gnomon.reports.render import render_report
from gnomon.runs import RunFolder, write_json, write_text
from gnomon.store import Store


def run(recipe: Recipe, out: Path, reporter: Reporter, *, until: Until | None = None) -> dict[str, Any]:
    """Walk the road and return the summary; what is already made is not made again."""
    one_process()
    parse_model_ref(recipe.model.ref)
    if recipe.constitution is not None:
        load_constitution(recipe.data.constitution)  # what is wrong with it is better said now than later
    data = read_data(recipe.data, recipe.seed)
    checked([*data.evaluation, *data.policy])
    folder = RunFolder(out)
    with folder.open():
        folder.write_config(recipe.model_dump(mode="json"))
        road = Road(recipe, folder, Store(out / "artefacts"), reporter)
        road.make(data_stage(recipe, data))
        stages = names(recipe, until)[1:]
        missing, beside = unmade(road, stages), expected(recipe, data)
        reporter.road_started({name: beside[name] if name in missing else 0.0 for name in stages})
        walk(road, stages)
        made = [road.made[name] for name in stages if name.startswith("answers_") and name in road.made]
        answers = [row for artefact in made for row in answer_rows(artefact)]
        manifest = write_manifest(
            folder, road.store, list(road.made.values()), seed=recipe.seed, data=data.digests
        )
        summary = build_summary(recipe, road.made, answers, road.warnings, road.store)
        publish(road, summary, answers)
    return summary | {"manifest": manifest["artefacts"]}


def one_process() -> None:
    """ConfigError under torchrun: the training loop runs in several processes, the road does not yet."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("stages run in one process; start gnomon without torchrun")


def publish(road: Road, summary: dict[str, Any], answers: Sequence[Any]) -> None:
    """Write what people and programs read: answers, critiques, summary, report."""
    folder = road.run.path
    write_lines(folder / "answers.jsonl", answers)
    if "revise" in road.made:
        text = (road.made["revise"].path / "critiques.jsonl").read_text(encoding="utf-8")
        write_text(folder / "critiques.jsonl", text)
    write_json(folder / "summary.json", summary)
    render_report(folder)
