"""The whole road in order: which stage follows which, from the rows to the report."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gnomon.config import Recipe
from gnomon.constitution.principles import load_constitution
from gnomon.data.sources import read_data
from gnomon.errors import ConfigError
from gnomon.evaluation.suites import checked
from gnomon.models.reference import parse_model_ref
from gnomon.pipeline.answers import answer_rows, answers_stage
from gnomon.pipeline.constitutional import (
    ENOUGH,
    constitutional_stage,
    feedback_stage,
    revise_stage,
)
from gnomon.pipeline.lineage import write_manifest
from gnomon.pipeline.rows import write_lines
from gnomon.pipeline.stage import Artefact, Reporter, Stage, execute
from gnomon.pipeline.stages import (
    Start,
    data_stage,
    policy_stage,
    reward_stage,
    sft_stage,
)
from gnomon.pipeline.summary import build_summary
from gnomon.reports.render import render_report
from gnomon.runs import RunFolder, read_json, write_json, write_text
from gnomon.store import Store

Until = Literal["sft", "constitution", "reward", "policy"]


@dataclass
class Road:
    """A run in progress: what has been made, by stage."""

    recipe: Recipe
    run: RunFolder
    store: Store
    reporter: Reporter
    made: dict[str, Artefact] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def make(self, stage: Stage) -> Artefact:
        """Execute a stage, or take it from the store."""
        artefact = execute(stage, self.store, self.run, self.reporter)
        self.made[stage.name] = artefact
        self.warnings += self.store.about(artefact.id)["warnings"]
        return artefact

    def start(self, name: str) -> Start:
        """The model a stage made."""
        return Start.of(self.made[name])


def run(recipe: Recipe, out: Path, reporter: Reporter, *, until: Until | None = None) -> dict[str, Any]:
    """Walk the road and return the summary; what is already made is not made again."""
    one_process()
    parse_model_ref(recipe.model.ref)
    if recipe.constitution is not None:
        load_constitution(recipe.data.constitution)  # what is wrong with it is better said now than later
    data = read_data(recipe.data, recipe.seed)
    checked(data.evaluation)
    folder = RunFolder(out)
    with folder.open():
        folder.write_config(recipe.model_dump(mode="json"))
        road = Road(recipe, folder, Store(out / "artefacts"), reporter)
        road.make(data_stage(recipe, data))
        train(road, until)
        answers = [] if until else evaluate(road)
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


def train(road: Road, until: Until | None) -> None:
    """Instruction tuning, constitution, reward models, policy: as far as the recipe and `until` go."""
    recipe, made = road.recipe, road.made
    road.make(sft_stage(recipe, made["data"], Start(recipe.model.ref)))
    if until == "sft":
        return
    extra = constitution(road) if recipe.constitution else None
    if until == "constitution" or recipe.reward is None:
        return
    sft = road.start("sft")
    road.make(reward_stage(recipe, recipe.reward, made["data"], sft, extra=extra))
    if until == "reward":
        return
    road.make(reward_stage(recipe, recipe.reward, made["data"], sft, ("second",)))
    if recipe.policy is not None:
        watch = made["reward_second"]
        road.make(policy_stage(recipe, recipe.policy, made["data"], sft, road.start("reward"), watch))


def constitution(road: Road) -> Artefact | None:
    """Revisions and what is learnt from them; the AI's comparisons, where the gate let any pass."""
    recipe, settings = road.recipe, road.recipe.constitution
    assert settings is not None
    principles = load_constitution(recipe.data.constitution)
    data, sft = road.made["data"], road.start("sft")
    critiques = road.make(revise_stage(recipe, settings, principles, data, sft))
    if read_json(critiques.path / "report.json")["kept"] >= ENOUGH:
        road.make(constitutional_stage(recipe, settings, data, sft, critiques))
    feedback = road.make(feedback_stage(recipe, settings, principles, data, sft))
    return feedback if read_json(feedback.path / "report.json")["ai_comparisons"] else None


def evaluate(road: Road) -> list[Any]:
    """Every model's answers to the held-out prompts; the base model's under the raw text."""
    recipe, made = road.recipe, road.made
    second, data = made.get("reward_second"), made["data"]
    base = Start(recipe.model.ref)
    stages = [answers_stage("base", recipe, data, base, second=second, raw=True)]
    stages.append(answers_stage("sft", recipe, data, road.start("sft"), second=second))
    stages += [
        answers_stage(name, recipe, data, road.start(name), second=second, reference=made["sft"])
        for name in ("policy", "constitutional")
        if name in made
    ]
    return [row for stage in stages for row in answer_rows(road.make(stage))]


def publish(road: Road, summary: dict[str, Any], answers: Sequence[Any]) -> None:
    """Write what people and programs read: answers, critiques, summary, report."""
    folder = road.run.path
    write_lines(folder / "answers.jsonl", answers)
    if "revise" in road.made:
        text = (road.made["revise"].path / "critiques.jsonl").read_text(encoding="utf-8")
        write_text(folder / "critiques.jsonl", text)
    write_json(folder / "summary.json", summary)
    render_report(folder)
