"""Every model of a constitutional road on the same held-out prompts: harmless, helpful, or evasive."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gnomon.config import Recipe
from gnomon.data.reader import BUILTIN
from gnomon.data.splits import take
from gnomon.evaluation.examine import Kept, Suite, examine
from gnomon.evaluation.snapshots import REFERENCE, Snapshot, snapshot_figures
from gnomon.evaluation.subjects import Answering
from gnomon.evaluation.suites.harmlessness import NAME, harmlessness
from gnomon.evaluation.suites.refusals import refusals
from gnomon.evaluation.tasks import Ask
from gnomon.judges.reward_model import answered
from gnomon.models.load import load
from gnomon.models.reward_model import load_scorer
from gnomon.pipeline.account import free_memory
from gnomon.pipeline.answers import answer_rows
from gnomon.pipeline.kinship import kin
from gnomon.pipeline.roles import settings_of
from gnomon.pipeline.rows import read_lines, write_lines
from gnomon.pipeline.scoring import MODEL
from gnomon.pipeline.snapshot_judging import Verdicts, by_judge, by_second, left_out
from gnomon.pipeline.stage import Artefact, Stage, StageContext
from gnomon.pipeline.stages import Start
from gnomon.records import HARMFUL, Conversation, Message
from gnomon.rollouts.engine import Sampling
from gnomon.rollouts.local import LocalEngine
from gnomon.rollouts.shared import SharedEngine
from gnomon.runs import write_json
from gnomon.settings.feedback import SnapshotSettings
from gnomon.store import content_id

SNAPSHOT = "snapshot_"
"""What the names of the stages of one model begin with."""

ORDER = ("base", "sft", "constitutional", "preference", "policy")
"""The models in the order of the road."""

ROWS = "rows.jsonl"

SNAPSHOTS = "snapshots.jsonl"
"""What a run's folder calls the rows of all of them."""

READ = 8
"""Prompts that ask for harm whose answers the report shows, every family in proportion."""


def measures(recipe: Recipe) -> bool:
    """Whether a recipe wants its models measured so."""
    return recipe.constitution is not None and recipe.constitution.snapshots is not None


def snapshot_suites(settings: SnapshotSettings) -> tuple[Suite, Suite]:
    """Prompts that ask for harm, and prompts that only look so."""
    harm = harmlessness(None if settings.red_team == BUILTIN else Path(settings.red_team))
    both = refusals(None if settings.safe == BUILTIN else Path(settings.safe))
    safe = tuple(task for task in asks(both) if task.facts["label"] == "safe")
    return harm, replace(both, tasks=safe)


def asks(suite: Suite) -> list[Ask]:
    """Its tasks, which are all of one turn."""
    return [task for task in suite.tasks if isinstance(task, Ask)]


def snapshots_of(recipe: Recipe) -> tuple[Suite, ...]:
    """What a recipe's models are measured by so; nothing where it does not want that."""
    settings = recipe.constitution.snapshots if recipe.constitution else None
    return () if settings is None else snapshot_suites(settings)


def snapshot_stage(name: str, recipe: Recipe, start: Start, *, second: Artefact | None = None) -> Stage:
    """One model's answers to both kinds of prompts, judged; those to harmful ones scored where there is a
    second reward model. A model called `base` answers under the raw text."""
    settings = _settings(recipe)
    asked, dtype = snapshot_suites(settings), recipe.model.dtype
    sampling = Sampling(recipe.evaluation.max_new_tokens, recipe.evaluation.temperature)

    def run(context: StageContext) -> None:
        lm = load(start.ref, dtype=dtype)
        subject = Answering(name, name, SharedEngine(LocalEngine(lm)), raw=name == "base")
        seed, total = zlib.crc32(f"{recipe.seed}/snapshot".encode()), sum(len(suite.tasks) for suite in asked)
        rows: list[Any] = []
        for suite in asked:
            rows += examine(subject, suite, Kept(), sampling, seed=seed)
            context.progress(len(rows), total, suite.name)
        del lm, subject
        free_memory()
        if second is not None and settings.judge is None:
            scored(rows, asked[0], second, dtype)
        write_lines(context.folder / ROWS, rows)

    chosen = {
        "name": name,
        "tasks": content_id([[task.id, task.asked, dict(task.facts)] for s in asked for task in s.tasks]),
        "evaluation": recipe.evaluation.model_dump(mode="json", include={"max_new_tokens", "temperature"}),
        "dtype": dtype,
        "seed": recipe.seed,
        **start.settings,
    }
    watched = {"second": second} if second is not None and settings.judge is None else {}
    return Stage(f"{SNAPSHOT}{name}", 1, chosen, {**start.inputs, **watched}, run)


def scored(rows: Sequence[Any], suite: Suite, second: Artefact, dtype: str) -> None:
    """Fill in what the second reward model gives each answer to a prompt of the suite."""
    scorer = load_scorer(second.path / MODEL, dtype=dtype)
    own = [row for row in rows if row["suite"] == suite.name]
    ids = [
        answered(
            scorer.lm,
            Conversation((*task.history, Message("user", task.turns[0]))),
            [Message("assistant", row["answer"])],
            ended=bool(row["values"]["ends_turn"]),
        )
        for task, row in zip(asks(suite), own, strict=True)
    ]
    for row, score in zip(own, scorer.score(ids), strict=True):
        row["reward/second"] = score


def snapshots_stage(recipe: Recipe, made: Mapping[str, Artefact]) -> Stage:
    """The figures of all models there are, judged by who taught nothing: `report.json` has them."""
    settings, names = _settings(recipe), [name for name in ORDER if f"{SNAPSHOT}{name}" in made]
    parts = {f"{kind}{name}": made[f"{kind}{name}"] for name in names for kind in (SNAPSHOT, "answers_")}
    second = made.get("reward_second") if settings.judge is None else None
    given = made["data"].only("test.jsonl")
    models = {name: made[name].path / MODEL for name in names if name != "base"}

    def run(context: StageContext) -> None:
        rows = {name: read_lines(parts[f"{SNAPSHOT}{name}"].path / ROWS) for name in names}
        helpful = {
            name: [row for row in answer_rows(parts[f"answers_{name}"]) if row["family"] != HARMFUL]
            for name in names
        }
        harmful = {name: [row for row in own if row["suite"] == NAME] for name, own in rows.items()}
        safe = {name: [row for row in own if row["suite"] != NAME] for name, own in rows.items()}
        relatives: list[str] = []
        verdicts = Verdicts({"name": None})
        if settings.judge is not None:
            verdicts = by_judge(context, recipe, settings.judge, harmful, helpful, settings.judged)
            judged = {name: f"path:{folder}" for name, folder in models.items()}
            relatives = kin({"judge": settings.judge}, judged)["judge"]
        elif second is not None:
            verdicts = by_second(second, harmful, helpful)
        snapshots = {
            name: Snapshot(harmful[name], safe[name], helpful[name], verdicts.wins.get(name, {}))
            for name in names
        }
        report = {
            **snapshot_figures(snapshots, resamples=recipe.evaluation.bootstrap, seed=recipe.seed),
            "order": names,
            "judge": dict(verdicts.judge) | {"kin": relatives},
            "prompts": {
                "harmful": len(harmful[REFERENCE]),
                "safe": len(safe[REFERENCE]),
                "helpful": len(helpful[REFERENCE]),
            },
            "read": _to_read(harmful, recipe.seed),
        }
        write_json(context.folder / "report.json", report)
        for sentence in left_out(verdicts.judge):
            context.warn(sentence)
        for sentence in relatives:
            context.warn(f"the judge of the snapshots is no stranger to what it judges: {sentence}")

    chosen = {
        "judge": settings_of(settings.judge),
        "judged": settings.judged if settings.judge else None,
        "known": recipe.constitution.gate_comparisons if settings.judge and recipe.constitution else None,
        "bootstrap": recipe.evaluation.bootstrap,
        "seed": recipe.seed,
    }
    inputs = {"data": given, **parts} | ({"second": second} if second else {})
    return Stage("snapshots", 2, chosen, inputs, run)


def snapshot_rows(made: Mapping[str, Artefact]) -> list[Any]:
    """The rows of all snapshots there are, in the order of the road."""
    found = [made[f"{SNAPSHOT}{name}"] for name in ORDER if f"{SNAPSHOT}{name}" in made]
    return [row for artefact in found for row in read_lines(artefact.path / ROWS)]


def _to_read(harmful: Mapping[str, Sequence[Any]], seed: int) -> list[dict[str, Any]]:
    """Some prompts that ask for harm with every model's answer, and whether it is harmless."""
    places = take(range(len(harmful[REFERENCE])), READ, seed, lambda i: str(harmful[REFERENCE][i]["family"]))
    return [
        {
            "prompt": harmful[REFERENCE][i]["prompt"],
            "answers": {
                name: {"text": rows[i]["answer"], "harmless": bool(rows[i]["values"]["harmless"])}
                for name, rows in harmful.items()
            },
        }
        for i in places
    ]


def _settings(recipe: Recipe) -> SnapshotSettings:
    assert recipe.constitution is not None
    assert recipe.constitution.snapshots is not None
    return recipe.constitution.snapshots
