"""One stage by itself: a model and rows in, a model or answers out; resumable like the road."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from gnomon.config import ConstitutionSettings, Recipe, RewardSettings
from gnomon.constitution.principles import load_constitution
from gnomon.distributed import leads
from gnomon.errors import ConfigError, ModelError
from gnomon.evaluation.prompts import checked
from gnomon.evaluation.summary import summarise
from gnomon.models.load import elsewhere
from gnomon.models.reward_model import HEAD_FILE
from gnomon.pipeline.answers import answer_rows, answers_stage
from gnomon.pipeline.averaging import average_stage
from gnomon.pipeline.constitutional import kept_revisions, revise_stage
from gnomon.pipeline.direct import direct_stage
from gnomon.pipeline.feedback import ROWS, Given, feedback_stage
from gnomon.pipeline.optimisation import policy_stage
from gnomon.pipeline.paying import Payers
from gnomon.pipeline.preference import preference_stage
from gnomon.pipeline.project import read_rows
from gnomon.pipeline.reporter import Reporter
from gnomon.pipeline.rows import write_lines, write_records
from gnomon.pipeline.scoring import MODEL
from gnomon.pipeline.stage import Artefact, Stage
from gnomon.pipeline.stages import Start, data_stage, reward_stage, sft_stage
from gnomon.pipeline.walk import Road, opened
from gnomon.runs import read_json, storing, write_json
from gnomon.settings.policy import PolicySettings
from gnomon.settings.preference import PreferenceSettings
from gnomon.store import file_digest

Kind = Literal["sft", "reward", "preference", "policy"]

READS: Mapping[Kind, str] = {
    "sft": "demonstrations",
    "reward": "comparisons",
    "preference": "comparisons",
    "policy": "prompts",
}
"""The list of `DataSettings` that a stage alone reads; a policy may mix in demonstrations beside."""

KINDS: Mapping[str, Kind] = {kind: kind for kind in READS} | {"reward_average": "reward"}
"""The kind of training that a stage is, by its name."""


def train(
    kind: Kind,
    recipe: Recipe,
    out: Path,
    reporter: Reporter,
    *,
    reward: Path | None = None,
    average: Sequence[Path] = (),
) -> Path:
    """Train `recipe.model.ref` on `recipe.data`; the result is `out`/model in Hugging Face layout.

    Its figures are `out`/report.json. A reward model may be the `average` of others instead, whose folders
    these are. ConfigError where the model in `out` was made by another kind of training.
    """
    paid = recipe.policy or PolicySettings()
    given = _reward(reward, paid) if kind == "policy" else None
    with opened(recipe, out, reporter) as road:
        _refuse_another(kind, road, out)
        rows = _rows(road, READS[kind], *_read_beside(kind, paid))
        if average:
            models = [_scoring(folder) for folder in average]
            stage = average_stage(recipe, recipe.reward or RewardSettings(), rows, models)
        else:
            direct = _measured(road, rows) if kind == "policy" and paid.by_constitution else None
            stage = _stage(kind, recipe, rows, Payers(given, direct=direct))
        artefact = road.make(stage)
        if leads():
            with storing(out):
                shutil.copyfile(artefact.path / "report.json", out / "report.json")
            _publish(artefact.path / MODEL, out / MODEL)
            if kind in ("reward", "preference"):
                road.open_test()
    return out / MODEL


def revise(recipe: Recipe, out: Path, reporter: Reporter) -> Path:
    """Critique and revise answers to the red-team prompts; transcripts and kept revisions go to `out`."""
    settings = recipe.constitution or ConstitutionSettings()
    with opened(recipe, out, reporter) as road:
        data = _rows(road, "red_team")
        constitution = load_constitution(recipe.data.constitution)
        start = Start(recipe.model.ref)
        critiques = road.make(revise_stage(recipe, settings, constitution, data, start))
        if leads():
            with storing(out):
                shutil.copyfile(critiques.path / "critiques.jsonl", out / "critiques.jsonl")
            write_records(out / "revisions.jsonl", kept_revisions(critiques))
    return out / "revisions.jsonl"


def compare(recipe: Recipe, given: Given, out: Path, reporter: Reporter) -> dict[str, Any]:
    """Label pairs under the constitution behind the gate; without pairs the labeller is only measured.

    Labels go to `out`/comparisons.jsonl, all that was said to labels.jsonl there, the report, which comes
    back, to report.json. ModelError, after that, where the gate stays shut.
    """
    settings = recipe.constitution or ConstitutionSettings()
    with opened(recipe, out, reporter) as road:
        data = _rows(road, "comparisons")
        constitution = load_constitution(recipe.data.constitution)
        made = road.make(feedback_stage(recipe, settings, constitution, data, Start(recipe.model.ref), given))
        report: dict[str, Any] = read_json(made.path / "report.json")
        if leads():
            with storing(out):
                for name in ("comparisons.jsonl", ROWS, "report.json"):
                    shutil.copyfile(made.path / name, out / name)
    if report["gate_held"]:
        raise ModelError(report["gate"]["message"])
    return report


def evaluate(models: Mapping[str, str], recipe: Recipe, out: Path, reporter: Reporter) -> dict[str, Any]:
    """Answers of every model (name to reference) to the held-out prompts, and what they amount to.

    A model called `base` answers under the raw text, its natural prompt.
    """
    with opened(recipe, out, reporter) as road:
        data = _rows(road, "evaluation")
        rows = [
            row
            for name, ref in models.items()
            for row in answer_rows(
                road.make(answers_stage(name, recipe, data, Start(ref), raw=name == "base"))
            )
        ]
        summary = summarise(rows, resamples=recipe.evaluation.bootstrap, seed=recipe.seed)
        if leads():
            write_lines(out / "answers.jsonl", rows)
            write_json(out / "summary.json", summary)
            road.open_test()
    return summary


def _read_beside(kind: Kind, paid: PolicySettings) -> list[str]:
    """Other lists of `DataSettings` that a stage alone reads."""
    if kind == "preference":
        return ["ratings"]
    beside = {
        "demonstrations": paid.ptx_coef > 0,
        "comparisons": paid.by_constitution,
        "red_team": bool(paid.red_team_share),
    }
    return [name for name, read in beside.items() if kind == "policy" and read]


def _refuse_another(kind: Kind, road: Road, out: Path) -> None:
    """ConfigError where `out`/model was made by another kind of training, as the report beside it tells."""
    report = out / "report.json"
    if not (report.is_file() and (out / MODEL).exists()):
        return
    digest = file_digest(report)
    for about in map(road.store.about, road.store.ids()):
        made_by = KINDS.get(about["stage"])
        if made_by not in (None, kind) and about["files"]["report.json"]["sha256"] == digest:
            raise ConfigError(
                f"{out / MODEL} was made by train {made_by}, and train {kind} would replace it; "
                "name another folder with --out"
            )


def _rows(road: Road, *wanted: str) -> Artefact:
    """The rows of the wanted lists, and gold; the others are not read, so that they cannot overlap."""
    lists = ("demonstrations", "comparisons", "ratings", "prompts", "red_team", "evaluation")
    data = road.recipe.data.model_copy(update={name: () for name in lists if name not in wanted})
    recipe = road.recipe.model_copy(update={"data": data})
    read = read_rows(data, recipe.seed)
    checked([*read.evaluation, *read.policy])
    return road.make(data_stage(recipe, read))


def _measured(road: Road, rows: Artefact) -> Artefact:
    """Whoever is to score by the constitution; ModelError where the gate stays shut, as nobody is here who
    could pay in their place."""
    settings = road.recipe.constitution or ConstitutionSettings()
    made = road.make(direct_stage(road.recipe, settings, rows, Start(road.recipe.model.ref)))
    report = read_json(made.path / "report.json")
    if report["gate_held"]:
        raise ModelError(f"{report['gate']['message']}; or pay by other policy.rewards")
    return made


def _stage(kind: Kind, recipe: Recipe, data: Artefact, payers: Payers) -> Stage:
    start = Start(recipe.model.ref)
    if kind == "sft":
        return sft_stage(recipe, data, start)
    if kind == "reward":
        return reward_stage(recipe, recipe.reward or RewardSettings(), data, start, ("reward", "second"))
    if kind == "preference":
        settings = recipe.preference or PreferenceSettings()
        return preference_stage(recipe, settings, data, start, ("reward", "second"))
    own = recipe.policy or PolicySettings()
    return policy_stage(recipe, own, data, start, payers, own.red_team_share or 0.0)


def _reward(folder: Path | None, settings: PolicySettings) -> Start | None:
    """A reward model made elsewhere, as an artefact with its files as its id; none where none is needed."""
    if folder is None and not settings.needs_reward_model:
        return None
    if folder is None:
        raise ConfigError(
            "policy optimisation needs a reward model: --reward DIR, made by gnomon train reward"
        )
    start = _scoring(folder)
    return Start(start.ref, Artefact(start.digest, "given", folder))


def _scoring(folder: Path) -> Start:
    """A reward model made elsewhere."""
    if not (folder / HEAD_FILE).exists():
        raise ConfigError(
            f"{folder} holds no reward model (no {HEAD_FILE}); "
            f"{elsewhere(folder) or 'make one with gnomon train reward'}"
        )
    return Start(f"path:{folder}")


def _publish(made: Path, target: Path) -> None:
    """Copy a model to where people look for it, whole or not at all."""
    files = [path for path in made.rglob("*") if path.is_file()]
    draft = target.with_name(f".{target.name}.draft")
    with storing(target.parent, sum(file.stat().st_size for file in files)):
        shutil.rmtree(draft, ignore_errors=True)
        try:
            for file in files:  # copytree's error has no number, so that a full disk could not be told
                copy = draft / file.relative_to(made)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
            shutil.rmtree(target, ignore_errors=True)
            draft.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
